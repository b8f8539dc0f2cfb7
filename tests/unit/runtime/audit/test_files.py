"""runtime.audit.files: the lines of all files, and the end of one, whatever stands there."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.audit.chain import MAX_LINE_BYTES, genesis, seal
from runtime.audit.files import AuditFolder, end_of


def test_files_come_by_their_number(tmp_path: Path):
    """Also beyond six digits; what is called otherwise is none of them."""
    for name in ("1000000.jsonl", "000002.jsonl", "000010.jsonl", "x.jsonl", "head", "000003.jsonl.new"):
        (tmp_path / name).write_text("{}\n")
    assert [path.name for path in AuditFolder(tmp_path).files()] == [
        "000002.jsonl",
        "000010.jsonl",
        "1000000.jsonl",
    ]
    assert AuditFolder(tmp_path / "none").files() == []


def test_a_line_without_an_end_is_no_line_at_the_end_only(tmp_path: Path):
    """Behind it in another file there is more, so that it was cut."""
    (tmp_path / "000001.jsonl").write_bytes(b"a\nb")
    (tmp_path / "000002.jsonl").write_bytes(b"c\nd")
    assert list(AuditFolder(tmp_path).lines()) == [
        ("000001.jsonl:1", b"a\n"),
        ("000001.jsonl:2", b"b"),
        ("000002.jsonl:1", b"c\n"),
    ]


def test_what_is_too_long_is_not_held(tmp_path: Path):
    """It comes in pieces, each of which is no line."""
    (tmp_path / "000001.jsonl").write_bytes(b"x" * (3 * MAX_LINE_BYTES))
    assert max(len(line) for _, line in AuditFolder(tmp_path).lines()) <= MAX_LINE_BYTES + 1


@pytest.mark.parametrize("behind", [b"", b"torn", b"broken\n", b"broken\ntorn"])
def test_the_end_of_a_file(tmp_path: Path, behind: bytes):
    """The last whole line, and what has no newline."""
    line, head = seal({"at": 1.0, "kind": "x", "who": "y", "data": {}}, genesis("one"))
    (tmp_path / "a").write_bytes(line + behind)
    found, torn = end_of(tmp_path / "a")
    assert found is not None
    assert (found.head, torn) == (head, b"torn" if behind.endswith(b"torn") else b"")
    (tmp_path / "a").write_bytes(behind)
    assert end_of(tmp_path / "a")[0] is None
