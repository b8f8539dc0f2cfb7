"""A keeper's process: limits of its own around the keeper of one run."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import socket
import threading
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from runtime.egress.worker_link import open_worker
from runtime.engine.docker import DockerEngine
from runtime.keeper.folder import KeeperFolder
from runtime.keeper.keeper import Keeper

MEMORY_BYTES = 512 << 20
"""On top of what a keeper shares with its parent: a result of 10 MiB takes up to thirty times as much to be
read. Beyond it the keeper fails, and its run with it."""
DESCRIPTORS = 256
OOM_SCORE_ADJ = 500
STACK_BYTES = 1 << 20
"""Of a thread; glibc's 8 MiB would count in full against the keeper's memory."""
_PR_SET_DUMPABLE = 4


class KeeperSettings(BaseModel):
    """What all keepers of a daemon have in common. No secret is among it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    """Where the folders of runs are."""
    control_socket: Path
    """The proxy's."""
    marks: Mapping[str, str]
    """Labels on all that is made on the engine."""
    grace_s: float
    """How long a run goes on without a daemon."""


def keep(listener: socket.socket, folder: KeeperFolder, settings: KeeperSettings) -> None:
    """Keep one run to its end. Raises OSError where the process cannot be confined."""
    confine()
    folder.note_pid()
    asyncio.run(_keep(listener, folder, settings))


async def _keep(listener: socket.socket, folder: KeeperFolder, settings: KeeperSettings) -> None:
    engine = DockerEngine(marks=settings.marks)
    try:
        keeper = Keeper(
            folder,
            engine=engine,
            open_worker=lambda address: open_worker(settings.control_socket, address),
            grace_s=settings.grace_s,
        )
        await keeper.serve(listener)
    finally:
        await engine.close()


def confine() -> None:
    """Take limits that this process cannot lift again. Raises OSError where one is refused.

    The kernel takes it before the daemon when the host's memory is used up (proc(5), oom_score_adj), and no
    process of the same user can look into it. It is in a session of its own: what ends the daemon's terminal
    or its process group does not end the run.
    """
    os.setsid()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    adjusted = Path("/proc/self/oom_score_adj")
    adjusted.write_text(str(max(OOM_SCORE_ADJ, int(adjusted.read_text()))))  # lowering it needs a capability
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    limit = _data_bytes() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.stack_size(STACK_BYTES)


def _data_bytes() -> int:
    """What counts against RLIMIT_DATA by now, and the stack (proc(5), statm: the sixth field, in pages)."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGESIZE")
