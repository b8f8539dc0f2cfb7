"""runtime.cli.diagnosis.disk: a full disk is a fault, with its path, its figure and a remedy."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from runtime.cli.diagnosis import disk
from runtime.cli.diagnosis.disk import FILES, disk_check
from runtime.cli.diagnosis.finding import Finding


def look(path: Path, least_bytes: int = 10 << 20) -> Finding:
    """At a place that needs 10 MiB."""
    return disk_check("disk", path, least_bytes=least_bytes, remedy="free some")


@pytest.mark.parametrize(
    ("blocks", "files", "free_files", "said"),
    [
        (2560, 10_000, FILES, None),
        (2559, 10_000, FILES, "9 MiB free, less than 10"),
        (2560, 10_000, FILES - 1, f"room for {FILES - 1} files only"),
        (2560, 0, 0, None),  # btrfs counts none
    ],
)
def test_little_room_is_a_fault(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    blocks: int,
    files: int,
    free_files: int,
    said: str | None,
):
    """Of bytes or of files; exactly enough is enough."""
    found = SimpleNamespace(f_bavail=blocks, f_frsize=4096, f_files=files, f_favail=free_files)
    monkeypatch.setattr(disk.os, "statvfs", lambda _path: found)

    line = look(tmp_path)

    assert line["ok"] is (said is None)
    assert str(tmp_path) in line["detail"]
    if said is not None:
        assert said in line["detail"]
        assert line["remedy"] == "free some"


def test_a_real_disk_is_asked(tmp_path: Path):
    """With nothing in between: as much as nobody has is missing."""
    assert look(tmp_path, 1)["ok"]
    assert not look(tmp_path, 1 << 62)["ok"]


def test_what_is_not_made_yet_is_asked_where_it_is_going_to_be(tmp_path: Path):
    """By the nearest folder that there is."""
    assert look(tmp_path / "a/b/c", 1)["ok"]


def test_a_place_that_cannot_be_asked_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Not a way around the check."""

    def refuse(_path: Path) -> os.statvfs_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disk.os, "statvfs", refuse)
    assert not look(tmp_path, 0)["ok"]
