"""From a port on the proxy's loopback to the daemon's LLM router, which listens on a unix socket.

mitmproxy dials TCP only. The port is on loopback inside the proxy's container, where no sandbox is; the
router believes what the addon adds to a request, since nobody else can reach the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

LOOPBACK = "127.0.0.7"
"""An address of its own: its port is the kernel's choice, and takes none that something else listens on."""
PIECE_BYTES = 64 << 10


class LlmRelay:
    """Listens for the addon's dials."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Start listening; return the port. Raises OSError where none can be had."""
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop, and end what is open."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            to_router = await asyncio.open_unix_connection(self._path)
        except OSError:  # no daemon: the client is told that there is no upstream
            writer.close()
            return
        await _join((reader, writer), to_router)


type _Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _join(one: _Stream, other: _Stream) -> None:
    """Carry bytes both ways until one side ends or the task is cancelled."""
    ways = [asyncio.create_task(_carry(one[0], other[1])), asyncio.create_task(_carry(other[0], one[1]))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        for _, writer in (one, other):
            writer.close()
        await asyncio.gather(*ways, return_exceptions=True)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
