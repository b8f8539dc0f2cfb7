"""Only regular files are opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.plain_file import open_plain


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
