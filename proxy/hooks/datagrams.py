"""DNS over UDP: an answer for each datagram, and nothing that is kept of who asked.

mitmproxy 12.2 makes a client of each source port, keeps it for 20 s, and hears nothing from that port once
it has let go of it. A sandbox that asks for long would find ever more of its ports used up, and its lookups
would fail. Here a datagram is a client that is gone with its answer.
"""

from __future__ import annotations

import asyncio
import struct
import time
from typing import Any, cast

import structlog
from mitmproxy import connection, dns
from mitmproxy.proxy.mode_specs import ProxyMode

from proxy.hooks.connections import ConnectionHooks
from proxy.hooks.dns import DnsHooks

MAX_UNSENT_BYTES = 64 << 10
"""Of answers that the kernel does not take: more are dropped, as datagrams may be."""


class Datagrams(asyncio.DatagramProtocol):
    """One UDP socket of the sink. The same hooks decide as for a connection; what fails is not answered."""

    def __init__(self, connections: ConnectionHooks, names: DnsHooks, *, mode: str) -> None:
        """`mode` is that of the sink's TCP port."""
        self._connections = connections
        self._names = names
        self._mode = ProxyMode.parse(mode)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._transport = cast(Any, transport)
        self._sockname = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answer one datagram, or say nothing."""
        try:
            answer = self._answer(data, addr)
        except Exception as exc:  # noqa: BLE001 - silence is the answer to everything else
            structlog.get_logger().error("hook-failed", hook="datagram_received", error=type(exc).__name__)
            return
        if answer is not None and self._transport.get_write_buffer_size() < MAX_UNSENT_BYTES:
            self._transport.sendto(answer, addr)

    def error_received(self, exc: Exception) -> None:
        """Who asked has gone: an answer of ours came back."""

    def _answer(self, data: bytes, addr: tuple[str | Any, int]) -> bytes | None:
        client = connection.Client(
            peername=addr,
            sockname=self._sockname,
            timestamp_start=time.time(),
            transport_protocol="udp",
            proxy_mode=self._mode,
        )
        self._connections.client_connected(client)
        try:
            if client.error is not None:
                return None
            return self._asked(client, data)
        finally:
            self._connections.client_disconnected(client)

    def _asked(self, client: connection.Client, data: bytes) -> bytes | None:
        try:
            request = dns.DNSMessage.unpack(data, timestamp=time.time())
        except struct.error:
            return None
        server = connection.Server(address=None, transport_protocol="udp")
        flow = dns.DNSFlow(client, server, live=True)
        flow.request = request
        self._names.dns_request(flow)
        return flow.response.packed if flow.response is not None else None
