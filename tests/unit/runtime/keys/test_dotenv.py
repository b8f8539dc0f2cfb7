"""`.env`: the forms that people write, and that nothing of it is in an error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.errors import InvalidInputError
from runtime.keys.dotenv import read_dotenv

MARKER = "marker-7b1-value"


def test_dotenv_forms(tmp_path: Path):
    """Comments, export, quotes and spaces, as people write them."""
    path = tmp_path / ".env"
    path.write_text("# c\n\nA=1\nexport B = two \nC='x # y'\nD=\"q\"\nE=a=b\nF=v # note\nG=\n")

    assert read_dotenv(path) == {"A": "1", "B": "two", "C": "x # y", "D": "q", "E": "a=b", "F": "v", "G": ""}


@pytest.mark.parametrize("line", [MARKER, f"bad name={MARKER}", f"A={MARKER}\0"])
def test_bad_dotenv_line_is_named_and_not_quoted(tmp_path: Path, line: str):
    """The error has the line's number, never its text."""
    path = tmp_path / ".env"
    path.write_text(f"A=1\n{line}\n")

    with pytest.raises(InvalidInputError, match=r"\.env:2") as told:
        read_dotenv(path)

    assert MARKER not in f"{told.value.message}{told.value.hint}"


def test_dotenv_that_is_no_utf8_is_refused(tmp_path: Path):
    """Bytes that are no text are refused, not shown."""
    path = tmp_path / ".env"
    path.write_bytes(b"A=\xff" + MARKER.encode())

    with pytest.raises(InvalidInputError, match="UTF-8") as told:
        read_dotenv(path)

    assert MARKER not in repr(told.value)
    assert told.value.__cause__ is None


def test_dotenv_is_not_read_through_a_link(tmp_path: Path):
    """An agent's author cannot point .env at another file of the caller's."""
    other = tmp_path / "other"
    other.write_text("NEEDED=" + MARKER)
    (tmp_path / ".env").symlink_to(other)

    with pytest.raises(InvalidInputError, match="symbolic link"):
        read_dotenv(tmp_path / ".env")


def test_dotenv_that_is_no_file_is_refused_at_once(tmp_path: Path):
    """A pipe or a folder called .env does not hang the command."""
    os.mkfifo(tmp_path / ".env")
    with pytest.raises(InvalidInputError, match=r"\.env"):
        read_dotenv(tmp_path / ".env")

    (tmp_path / "x").mkdir()
    with pytest.raises(InvalidInputError, match="x"):
        read_dotenv(tmp_path / "x")


def test_no_dotenv_is_empty(tmp_path: Path):
    """It is optional."""
    assert read_dotenv(tmp_path / ".env") == {}
