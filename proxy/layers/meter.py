"""Around a client connection's layers: counts its bytes, and cuts it where they are used up or a layer fails.

mitmproxy 12.2 logs an exception inside a layer and goes on with the connection; here it ends it. And it reads
on from a client while a hook runs or an upstream is being connected, and from an upstream while an HTTP/2
client takes nothing, and holds all of that in memory; here the reader waits (`wait_for_room`).
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog
from mitmproxy.connection import Server
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context

from proxy.admission.session import Session

MAX_HELD_BYTES = 1 << 20
"""Either way, of what waits in memory for the other side of a connection."""
_LOOK_EVERY_S = 0.02


class Gate(Protocol):
    """Who decides whether bytes may pass; an exception counts as no."""

    def take_bytes(self, session: Session, *, out: int = 0, into: int = 0) -> bool:
        """Count bytes from (`out`) or to (`into`) the sandbox; whether they may pass."""


class MeteredLayer:
    """Stands in for a connection's top layer."""

    def __init__(self, inner: layer.Layer, session: Session, gate: Gate) -> None:
        self.context: Context = inner.context
        self._inner = inner
        self._session = session
        self._gate = gate
        self._is_cut = False
        self._pending: set[commands.Command] = set()
        self._servers: list[Server] = []
        self._held = 0
        self._arrived = 0
        self._sent = 0

    async def wait_for_room(self, *, is_client: bool) -> None:
        """Return when there is room for more from the client (or else from an upstream)."""
        # What ends the wait are changes in other libraries' objects, which have no event to wait for.
        while self._is_full() if is_client else self._session.unsent() > MAX_HELD_BYTES:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)

    def _is_full(self) -> bool:
        return self._held > MAX_HELD_BYTES and self._is_stalled()

    def _is_stalled(self) -> bool:
        """Whether what the client sends now may have to wait: for a hook, a dial, a handshake."""
        self._servers = [s for s in self._servers if s.timestamp_end is None and not s.error]
        return bool(self._pending) or any(s.tls and not s.tls_established for s in self._servers)

    def handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        """What mitmproxy calls for everything that happens on the connection and its upstreams."""
        if self._is_cut:
            return
        try:
            yield from self._handle(event)
        except Exception as exc:  # noqa: BLE001 - cut is the answer to everything
            structlog.get_logger().error("layer-failed", error=type(exc).__name__)
            self._is_cut = True
        if self._is_cut:
            yield commands.CloseConnection(self.context.client)

    def _handle(self, event: events.Event) -> layer.CommandGenerator[None]:
        client = self.context.client
        if isinstance(event, events.CommandCompleted):
            self._pending.discard(event.command)
        if isinstance(event, events.DataReceived):
            self._is_cut = not self._may_be_read(event)
            if self._is_cut:
                return
        for command in self._inner.handle_event(event):
            if isinstance(command, commands.SendData) and command.connection is client:
                self._is_cut = not self._may_come_in(sent=len(command.data))
                if self._is_cut:
                    return
            if command.blocking:
                self._pending.add(command)
            if isinstance(command, commands.OpenConnection):
                self._servers.append(command.connection)
            yield command

    def _may_be_read(self, event: events.DataReceived) -> bool:
        if event.connection is not self.context.client:
            return self._may_come_in(arrived=len(event.data))
        self._held = self._held + len(event.data) if self._is_stalled() else 0
        return self._gate.take_bytes(self._session, out=len(event.data))

    def _may_come_in(self, *, arrived: int = 0, sent: int = 0) -> bool:
        """Count what upstreams sent or what the client is sent, whichever is more; whether it may pass."""
        counted = max(self._arrived, self._sent)
        self._arrived += arrived
        self._sent += sent
        more = max(self._arrived, self._sent) - counted
        return not more or self._gate.take_bytes(self._session, into=more)
