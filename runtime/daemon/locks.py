"""Locks that daemons hold while they live; a killed one keeps its until its last thread has ended."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from pathlib import Path

DYING_S = 5.0
"""How long a killed daemon is waited for; it takes milliseconds."""
POLL_S = 0.005


def try_lock(file: int, how: int, holder: Callable[[], int]) -> bool:
    """Lock an open file (flock(2)), and wait for nobody but a holder that is dying.

    `how` is LOCK_EX or LOCK_SH; `holder` reads from the file whose lock it is, as a pid or 0.
    """
    until = time.monotonic() + DYING_S
    while not _is_locked(file, how):
        if time.monotonic() > until or not _is_dying(holder()):
            return _is_locked(file, how)  # it may have ended between the two looks
        time.sleep(POLL_S)
    return True


def _is_locked(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_dying(pid: int) -> bool:
    """Whether its first thread has ended, which nobody can collect before the others have, too (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (OSError, IndexError):
        return False
