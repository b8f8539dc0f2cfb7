"""Free space where the daemon and the engine write."""

from __future__ import annotations

import os
from pathlib import Path

from runtime.cli.diagnosis.finding import Finding, check

HOME_BYTES = 1 << 30
"""The database grows with what is kept of runs (ORCHBOX_KEEP_MIB), and journals of runs are written there."""
RUN_DIR_BYTES = 16 << 20
"""Sockets and small files, mostly on a tmpfs."""
ENGINE_BYTES = 2 << 30
"""Images, and what sandboxes write outside of their tmpfs."""
FILES = 1000
"""Inodes, where the file system counts them."""


def disk_check(name: str, path: Path, *, least_bytes: int, remedy: str) -> Finding:
    """Whether there is room at a path, or where it is going to be made."""
    there = next(found for found in (path, *path.parents) if found.exists())
    try:
        found = os.statvfs(there)
    except OSError as exc:
        return check(name, f"{there}: {exc.strerror}", remedy="make it readable for the daemon's user")
    free = found.f_bavail * found.f_frsize
    detail = f"{path} has {free >> 20} MiB free"
    if free < least_bytes:
        return check(name, f"{detail}, less than {least_bytes >> 20}", remedy=remedy)
    if found.f_files and found.f_favail < FILES:
        return check(name, f"{path} has room for {found.f_favail} files only", remedy=remedy)
    return check(name, detail)
