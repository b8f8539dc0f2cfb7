"""Only regular files are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.errors import InvalidInputError
from runtime.plain_file import open_plain, read_text


def test_regular_file_is_opened(tmp_path: Path):
    """A file is read."""
    (tmp_path / "a").write_bytes(b"x")

    with open_plain(tmp_path / "a") as file:
        assert file.read() == b"x"


def test_everything_else_is_refused(tmp_path: Path):
    """Links, folders, pipes and nothing at all: an OSError that says what it is, at once."""
    (tmp_path / "a").touch()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    words = {
        "link": "symbolic link",
        "folder": "not a regular file",
        "pipe": "not a regular file",
        "none": "No such",
    }

    for name, expected in words.items():
        with pytest.raises(OSError, match=expected):
            open_plain(tmp_path / name)


def test_text_is_read_up_to_its_limit(tmp_path: Path):
    """A file of just that size is read, and one byte more is refused."""
    (tmp_path / "a").write_bytes(b"x" * (1 << 20))
    (tmp_path / "b").write_bytes(b"x" * ((1 << 20) + 1))

    assert read_text(tmp_path / "a", remedy="r") == "x" * (1 << 20)
    with pytest.raises(InvalidInputError, match="more than 1 MiB"):
        read_text(tmp_path / "b", remedy="r")


def test_no_file_is_no_text(tmp_path: Path):
    """Whether that is an error is the caller's matter; an empty file is a text."""
    (tmp_path / "empty").touch()

    assert read_text(tmp_path / "none", max_bytes=1, remedy="r") is None
    assert read_text(tmp_path / "empty", max_bytes=1, remedy="r") == ""


@pytest.mark.parametrize("name", ["link", "folder", "pipe", "none/below"])
def test_what_cannot_be_read_comes_with_the_callers_remedy(tmp_path: Path, name: str):
    """The path and what it is, never what stands behind it."""
    (tmp_path / "other").write_text("marker-5c1")
    (tmp_path / "link").symlink_to("other")
    (tmp_path / "folder").mkdir()
    (tmp_path / "none").touch()
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(InvalidInputError) as told:
        read_text(tmp_path / name, remedy="put a file there")

    assert told.value.message.startswith(f"{tmp_path / name}: ")
    assert told.value.hint == "put a file there"
    assert "marker" not in str(told.value)


def test_bytes_that_are_no_text_are_refused_and_not_repeated(tmp_path: Path):
    """Not as the cause of the error either."""
    (tmp_path / "a").write_bytes(b"\xff marker-5c1")

    with pytest.raises(InvalidInputError, match="UTF-8") as told:
        read_text(tmp_path / "a", remedy="r")

    assert "marker" not in repr(told.value)
    assert told.value.__cause__ is None
