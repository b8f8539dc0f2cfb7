"""The errors: one class is one row, and what says an exit status or a code elsewhere follows from it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import errors
from runtime.client.connection import ApiError
from runtime.errors import OrchError, error_type, exit_code_of_answer, frames_of, rows

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/exit-codes.md"
KINDS = tuple(
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OrchError)
)
BRANCHES = ("runtime/runs", "runtime/sandbox")
"""Parts that write a run's end into its record, where its code is a word of the record's format."""

FOREIGN = ("runtime/canary/upstreams",)
"""Simulated APIs, whose codes are the vendors' own."""


def trees() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the runtime but the table itself, parsed."""
    for path in sorted((ROOT / "runtime").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name != "runtime/errors.py":
            yield name, ast.parse(path.read_text())


def test_every_row_has_a_code_of_its_own():
    """Two rows with one code could not be told apart by who reads it."""
    codes = [kind.code for kind in rows()]

    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[A-Z]+(_[A-Z]+)*", code) for code in codes)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_a_row_or_a_kind_of_one(kind: type[OrchError]):
    """A class that has a status or an exit status of its own has a code of its own too."""
    own = vars(kind).keys() & {"code", "exit_code", "status"}
    is_row = kind in rows()

    assert ("code" in own) == is_row
    assert is_row or not own
    assert 400 <= kind.status <= 599
    assert 1 <= kind.exit_code <= 130


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_says_in_a_sentence_what_it_is(kind: type[OrchError]):
    """It is the row's text in the documentation."""
    said = vars(kind).get("__doc__") or ""

    assert re.fullmatch(r"[A-Z][^\n]+\.", said)
    assert len(said.split()) >= 4


def test_rows_are_nowhere_else():
    """No other module of the runtime makes a code: it takes an error from the table."""
    made = [
        f"{name}:{found.lineno}"
        for name, tree in trees()
        for found in ast.walk(tree)
        if isinstance(found, ast.ClassDef)
        for line in found.body
        if isinstance(line, ast.Assign) and [ast.unparse(t) for t in line.targets] == ["code"]
    ]

    assert made == []


def test_codes_are_written_in_the_table_only():
    """Elsewhere it is the class that is named, so that a code has one place to change."""
    codes = {kind.code for kind in rows()}
    written = [
        f"{name}:{found.lineno}"
        for name, tree in trees()
        if not name.startswith(BRANCHES + FOREIGN)
        for found in ast.walk(tree)
        if isinstance(found, ast.Constant) and found.value in codes
    ]

    assert written == []


def test_every_end_of_a_run_is_a_row():
    """Whatever a run's record says of its end, `orch run` knows the exit status of."""
    known = {kind.code for kind in rows()}
    said = {
        found.args[0].value
        for _, tree in trees()
        for found in ast.walk(tree)
        if isinstance(found, ast.Call) and ast.unparse(found.func) == "RunError"
        if found.args and isinstance(found.args[0], ast.Constant)
    }

    assert said <= known


def test_the_page_and_the_table_say_the_same():
    """Both ways, row for row and in order: code, exit status, HTTP status and sentence."""
    cells = [line.strip("|").split("|") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    page = [tuple(cell.strip() for cell in row) for row in cells]
    table = [
        (f"`{kind.code}`", str(kind.exit_code), str(kind.status), (kind.__doc__ or "").strip())
        for kind in rows()
    ]

    assert page == table


def test_the_tree_on_top_of_the_module_is_the_table():
    """Class, code, exit status and HTTP status, as the docstring draws them."""
    drawn = re.findall(r"(\w+Error)\s+([A-Z_]+)\s+(\d+)\s+(\d+)", errors.__doc__ or "")

    assert drawn == [(k.__name__, k.code, str(k.exit_code), str(k.status)) for k in rows()]


@pytest.mark.parametrize("kind", rows(), ids=lambda kind: kind.code)
def test_a_code_is_found_again(kind: type[OrchError]):
    """What a daemon answered with or a record holds leads back to the row, and to its exit status."""
    assert error_type(kind.code) is kind
    if kind is not OrchError:
        assert ApiError(kind.status, {"code": kind.code}).exit_status == kind.exit_code


@pytest.mark.parametrize(
    ("status", "exit_code"),
    [(400, 5), (401, 2), (403, 3), (404, 4), (409, 1), (413, 5), (415, 5), (418, 1), (500, 8), (503, 8)],
)
@pytest.mark.parametrize("code", ["A_NEWER_DAEMONS_CODE", OrchError.code])
def test_a_code_that_says_nothing_leaves_it_to_the_status(code: str, status: int, exit_code: int):
    """A client may be older than its daemon."""
    assert error_type("A_NEWER_DAEMONS_CODE") is None
    assert exit_code_of_answer(code, status) == exit_code


def test_a_logged_error_is_where_it_was_raised_without_what_it_says():
    """File, line and function of the innermost calls."""

    def fail(depth: int) -> None:
        if depth:
            fail(depth - 1)
        raise ValueError("marker-2b7")

    with pytest.raises(ValueError, match="marker") as told:
        fail(20)

    frames = frames_of(told.value)
    assert len(frames) == 5
    assert all(re.fullmatch(r".+test_errors\.py:\d+ fail", frame) for frame in frames)
