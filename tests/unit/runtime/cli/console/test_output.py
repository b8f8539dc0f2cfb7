"""runtime.cli.console.output: an agent's words on a terminal."""

from __future__ import annotations

import pytest

from runtime.cli.console.output import error_body, printable
from runtime.errors import NotFoundError

ROWS = {
    "plain text stays": ("done\n", "done\n"),
    "colours stay": ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
    "moving the cursor is spelled out": ("\x1b[2J", "\\x1b[2J"),
    "a title is spelled out": ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
    "direction marks are spelled out": ("a\u202eb", "a\\u202eb"),
    "carriage returns cannot overwrite": ("ok\rbad", "ok\\x0dbad"),
}


@pytest.mark.parametrize("row", ROWS)
def test_printable(row: str):
    """It must not drive the terminal."""
    given, shown = ROWS[row]

    assert printable(given) == shown


def test_an_error_has_the_platforms_shape():
    """`{"error": true, code, message, hint?, exit_code}`."""
    assert error_body(NotFoundError("no run x", hint="orch runs")) == {
        "error": True,
        "code": "NOT_FOUND",
        "message": "no run x",
        "hint": "orch runs",
        "exit_code": 4,
    }
