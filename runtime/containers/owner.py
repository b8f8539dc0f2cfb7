"""Who made something on the engine: a process, told apart from a later one with the same number."""

from __future__ import annotations

import os
from pathlib import Path


def this_process() -> str:
    """`pid:start time:boot`, of the calling process."""
    return _name(os.getpid())


def is_alive(owner: str) -> bool:
    """Whether the process that `owner` names still runs."""
    pid = owner.partition(":")[0]
    try:
        return _name(int(pid)) == owner
    except (OSError, ValueError):
        return False


def _name(pid: int) -> str:
    stat = Path(f"/proc/{pid}/stat").read_text()
    started = stat.rpartition(")")[2].split()[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{pid}:{started}:{boot}"
