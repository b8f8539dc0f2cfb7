"""Listening sockets that count every accept, and the canaries behind them that answer anybody."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

from runtime.canary.seen import Accept
from runtime.canary.world import World

CANARY_REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\ncanary\n"


class CountingSocket(socket.socket):
    """A listening socket whose `accept()` writes the connection down before anybody reads from it."""

    world: World

    def accept(self) -> tuple[socket.socket, object]:
        """Accept a connection, and record where it came from."""
        connection, peer = super().accept()
        address, port = self.getsockname()[:2]
        seen = Accept(self.world.now(), address, port, f"{peer[0]}:{peer[1]}")
        self.world.seen.accepts.append(seen)
        return connection, peer


def listen(world: World, address: str, port: int) -> CountingSocket:
    """A bound and listening socket that counts into `world`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # With its protocol named, or asyncio does not send at once: an answer in two pieces takes 40 ms longer.
    listener = CountingSocket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.world = world
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(512)
    listener.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return listener


def bind_udp(address: str, port: int) -> socket.socket:
    """Make a datagram socket that is bound to this address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    bound.bind((address, port))
    bound.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return bound


async def serve_canary(listener: socket.socket) -> None:
    """Answer any connection, so that an escape succeeds in the attacker's eyes too."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.wait_for(reader.read(4096), timeout=2.0)
            writer.write(CANARY_REPLY)
            await writer.drain()
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()

    await asyncio.start_server(serve, sock=listener)


class _Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, _data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(b"canary", addr)


async def serve_udp_canary(bound: socket.socket) -> None:
    """Answer any datagram; the packet watch is what counts it."""
    await asyncio.get_running_loop().create_datagram_endpoint(_Echo, sock=bound)
