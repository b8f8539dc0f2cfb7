"""The ways in which a layer refuses: nothing is said (or a TLS alert), or a body goes no further."""

from __future__ import annotations

from mitmproxy import http
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context

TLS_ALERT_UNRECOGNIZED_NAME = bytes.fromhex("15030300020270")
"""RFC 8446 section 6.2, fatal: all that a client which cannot be answered in-band gets to see."""


class BodyRefusedError(Exception):
    """Raised by the callable that a body streams through: nothing more of it goes on.

    `response` answers the client where it has no answer yet.
    """

    def __init__(self, response: http.Response | None) -> None:
        super().__init__("the body is refused")
        self.response = response


class RefuseLayer(layer.Layer):
    """Says nothing (or a TLS alert), closes, and swallows what still comes."""

    def __init__(self, context: Context, *, farewell: bytes = b"") -> None:
        super().__init__(context)
        self._farewell = farewell

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            if self._farewell:
                yield commands.SendData(self.context.client, self._farewell)
            yield commands.CloseConnection(self.context.client)
