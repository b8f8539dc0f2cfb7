"""All that a process started, also what left its group or session: found by its parents and ended.

On Linux this process is made the one to which its descendants' orphans fall (PR_SET_CHILD_SUBREAPER), so
that none slips away by ending its parent. Elsewhere the process group has to do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h"""
END_S = 2.0
"""For processes to be gone after SIGKILL."""
POLL_S = 0.01


class Descendants:
    """Those of this process that it did not have when the watch began."""

    def __init__(self) -> None:
        self._before = _children()

    def end(self, *, but: int) -> None:
        """SIGKILL to all of them, until none is left; `but` is a child that is left to who started it.

        A process that starts others all the time is met in a later round.
        """
        until = time.monotonic() + END_S
        while (found := self._find(but)) and time.monotonic() < until:
            for pid in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            for pid in found:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(POLL_S)

    def _find(self, but: int) -> set[int]:
        parents = _parents()
        found: set[int] = set()
        fresh = {os.getpid()}
        while fresh:
            fresh = {pid for pid, parent in parents.items() if parent in fresh} - found - self._before
            found |= fresh
        return found - {but}


@contextmanager
def descendants() -> Iterator[Descendants]:
    """Watch what is started from here on."""
    _adopt_orphans(is_on=True)
    try:
        yield Descendants()
    finally:
        _adopt_orphans(is_on=False)


def _adopt_orphans(*, is_on: bool) -> None:
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - only a local run pays for it

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(is_on), 0, 0, 0)


def _children() -> set[int]:
    return {pid for pid, parent in _parents().items() if parent == os.getpid()}


def _parents() -> dict[int, int]:
    """Process -> its parent, of all that are visible; nothing without /proc."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            after_name = stat.read_text(errors="replace").rpartition(")")[2]
            parents[int(stat.parent.name)] = int(after_name.split()[1])
    return parents
