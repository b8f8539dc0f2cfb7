"""Decision lines from a file, strictly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.errors import InvalidInputError
from runtime.explain.decision_file import MAX_LINE_BYTES, read_decision_file
from tests.unit.runtime.explain.test_replay import EVIL, PLAIN

CHAIN = {"seq": 3, "kind": "decision", "prev": "0", "hash": "1"}


def read(folder: Path, text: str) -> list:
    """The lines of a file with that text."""
    path = folder / "lines"
    path.write_text(text)
    return read_decision_file(path).lines


def test_lines_are_read_in_each_form_that_we_write(tmp_path: Path) -> None:
    """By themselves, as the command prints them, and within the lines of an audit."""
    text = "\n".join([json.dumps(PLAIN), "", json.dumps(EVIL), ""])
    assert read(tmp_path, text) == [PLAIN, EVIL]
    assert read(tmp_path, json.dumps({"decisions": [PLAIN, EVIL]}, indent=2)) == [PLAIN, EVIL]
    assert read(tmp_path, json.dumps({"decisions": []})) == []
    assert read(tmp_path, json.dumps({**PLAIN, **CHAIN})) == [PLAIN]
    assert read(tmp_path, json.dumps({**CHAIN, "who": "run:1", "data": PLAIN})) == [PLAIN]
    assert read(tmp_path, json.dumps({"decision": PLAIN})) == [PLAIN]
    assert read(tmp_path, "") == []


def test_what_else_an_audit_holds_is_counted(tmp_path: Path) -> None:
    """And never read as a decision."""
    path = tmp_path / "lines"
    path.write_text(
        json.dumps({"seq": 1, "kind": "api", "data": {"path": "/v1/runs"}})
        + "\n"
        + json.dumps(PLAIN)
        + "\n[]\n"
    )
    assert read_decision_file(path) == ([PLAIN], 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (json.dumps(PLAIN) + "\n{no", ":2: no line of JSON"),
        ("[" * 100_000, ":1: no line of JSON"),
        (" " * 10 + '"' + "a" * MAX_LINE_BYTES + '"\nx', ":1: no line of JSON"),
        (json.dumps({**PLAIN, "verdict": "secret-word"}), ":1: decision line field verdict"),
        (
            json.dumps({name: value for name, value in PLAIN.items() if name != "host"}),
            ":1: a decision line has",
        ),
        (json.dumps({"kind": "secret-word"}), "no decision is in it"),
    ],
    ids=["no JSON", "too deep", "too long", "a wrong value", "a field less", "nothing of ours"],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, says: str) -> None:
    """By its number; nothing of it is repeated."""
    with pytest.raises(InvalidInputError) as failure:
        read(tmp_path, text)
    assert says in failure.value.message
    assert "secret-word" not in failure.value.message


def test_a_file_that_is_none_is_an_input_error(tmp_path: Path) -> None:
    """A folder, and a link."""
    (tmp_path / "link").symlink_to("/etc/passwd")
    for path in (tmp_path, tmp_path / "link", tmp_path / "absent"):
        with pytest.raises(InvalidInputError):
            read_decision_file(path)
