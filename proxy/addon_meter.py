"""Around a client connection's layers: counts its bytes, and cuts it where they are used up or a layer fails.

mitmproxy 12.2 logs an exception inside a layer and goes on with the connection; here it ends it.
"""

from __future__ import annotations

from typing import Protocol

import structlog
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context

from proxy.session import Session


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
        if isinstance(event, events.DataReceived) and event.connection is client:
            self._is_cut = not self._gate.take_bytes(self._session, out=len(event.data))
            if self._is_cut:
                return
        for command in self._inner.handle_event(event):
            if isinstance(command, commands.SendData) and command.connection is client:
                self._is_cut = not self._gate.take_bytes(self._session, into=len(command.data))
                if self._is_cut:
                    return
            yield command
