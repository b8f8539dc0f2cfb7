"""A WebSocket's control frames: mitmproxy 12.2 relays ping, pong and close without asking any hook.

Each has room for 125 bytes of the sandbox's choice, so they pass a check that the addon leaves with the flow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mitmproxy import http
from mitmproxy.proxy.layers.websocket import WebsocketLayer
from wsproto import events

CONTROL_CHECK = "orchbox_control_check"
"""Key in `flow.metadata` of a `Callable[[bytes], bool]`: whether a payload may go upstream."""


def guard_control_frames(layer: WebsocketLayer, flow: http.HTTPFlow) -> None:
    """Drop the sandbox's control frames that the flow's check refuses. Call it before any of them is read."""
    check: Callable[[bytes], bool] | None = flow.metadata.get(CONTROL_CHECK)
    if check is None:
        return
    read = layer.client_ws.events

    def checked() -> Iterator[events.Event]:
        for event in read():
            if isinstance(event, (events.Ping, events.Pong)):
                is_allowed = check(bytes(event.payload))
            elif isinstance(event, events.CloseConnection):
                is_allowed = check((event.reason or "").encode())
            else:
                is_allowed = True
            if is_allowed:
                yield event

    layer.client_ws.events = checked
