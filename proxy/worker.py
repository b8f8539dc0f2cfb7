"""A worker's process: limits of its own around the proxy of one sandbox."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import select
import signal
import socket
import threading
import time
from pathlib import Path

from proxy.contract.messages import MAX_LINE_BYTES, Failed, encode
from proxy.server import ProxyServer, ProxySettings

MEMORY_BYTES = 192 << 20
"""On top of what a worker shares with its parent; beyond it, it fails, and its run with it."""
DESCRIPTORS = 2048
"""Two for each connection of a sandbox, and some."""
STACK_BYTES = 1 << 20
"""Of a thread; glibc's 8 MiB would count in full against the worker's memory."""
GRACE_S = 1.0
"""For an orderly end."""
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4


def work(connection: socket.socket, address: str, *, parent: int, llm_socket: Path, scratch: Path) -> int:
    """Serve one sandbox on `address` until the connection ends; the exit status. `parent` is its pid."""
    confine(parent)
    # Open until the process has ended, so that the daemon reads of its end and not of its intention.
    held = connection.dup()
    end_with(held)
    settings = ProxySettings(host=address, llm_socket=llm_socket, scratch=scratch)
    return asyncio.run(_serve(connection, settings))


async def _serve(connection: socket.socket, settings: ProxySettings) -> int:
    reader, writer = await asyncio.open_unix_connection(sock=connection, limit=MAX_LINE_BYTES)
    try:
        await ProxyServer(settings).run(reader, writer)
    except OSError as exc:
        writer.write(encode(Failed(str(exc))))
        await writer.drain()
        return 1
    return 0


def end_with(connection: socket.socket, *, grace_s: float = GRACE_S) -> None:
    """End this process soon after the connection does, whatever its loop is busy with.

    A loop that works on what a sandbox sent does not read that its sandbox is gone: it would go on for
    minutes, and keep the address that the slot's next sandbox needs.
    """

    def watch() -> None:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLRDHUP)
        poll.poll()
        time.sleep(grace_s)
        os._exit(1)

    threading.Thread(target=watch, name="end", daemon=True).start()


def confine(parent: int) -> None:
    """Take limits that this process cannot lift again. Raises OSError where one is refused.

    Its end is tied to the parent's (prctl(2)); the kernel takes it before the parent when the container's
    memory is used up (proc(5), oom_score_adj); no process of the same user can look into it.
    """
    Path("/proc/self/oom_score_adj").write_text("500")
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(_PR_SET_DUMPABLE, 0)
    if os.getppid() != parent:
        raise OSError("the parent has ended")
    limit = _data_bytes() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.stack_size(STACK_BYTES)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _data_bytes() -> int:
    """What counts against RLIMIT_DATA by now, and the stack (proc(5), statm: the sixth field, in pages)."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGESIZE")
