"""The canary's listening sockets; how they count is seen on the canary network (tests/integration)."""

from __future__ import annotations

import asyncio
import socket

from runtime.canary.sockets import listen
from runtime.canary.world import World


async def test_an_answer_in_pieces_is_not_held_back() -> None:
    """Each accepted connection sends at once, and each accept is written down."""
    world = World()
    accepted: asyncio.Queue[int] = asyncio.Queue()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        accepted.put_nowait(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listener = listen(world, "127.0.0.1", 0)
    async with await asyncio.start_server(serve, sock=listener):
        with socket.create_connection(listener.getsockname()):
            assert await asyncio.wait_for(accepted.get(), 5) == 1
    assert len(world.seen.accepts) == 1
