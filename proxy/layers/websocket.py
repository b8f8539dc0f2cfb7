"""A WebSocket's control frames: mitmproxy 12.2 relays ping, pong and close without asking any hook.

Each has room for 125 bytes of the sandbox's choice, so they pass a check that the addon leaves with the flow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from mitmproxy import http
from mitmproxy.proxy.layers.websocket import WebsocketLayer
from wsproto import events

CONTROL_CHECK = "orchbox_control_check"
"""Key in `flow.metadata` of a `Callable[[bytes], bool]`: whether a payload may go upstream."""
CONTROL_SCRUB = "orchbox_control_scrub"
"""Key of a `Callable[[bytes], bytes]`: a payload without what the upstream may not send back."""


def guard_control_frames(layer: WebsocketLayer, flow: http.HTTPFlow) -> None:
    """Check the sandbox's control frames and scrub the upstream's. Call it before any of them is read."""
    check: Callable[[bytes], bool] | None = flow.metadata.get(CONTROL_CHECK)
    scrub: Callable[[bytes], bytes] | None = flow.metadata.get(CONTROL_SCRUB)
    if check is None or scrub is None:
        return
    from_client, from_server = layer.client_ws.events, layer.server_ws.events

    def checked() -> Iterator[events.Event]:
        for event in from_client():
            payload = _payload(event)
            if payload is None or check(payload):
                yield event

    def scrubbed() -> Iterator[events.Event]:
        for event in from_server():
            payload = _payload(event)
            yield event if payload is None else _with_payload(event, scrub(payload))

    layer.client_ws.events = checked
    layer.server_ws.events = scrubbed


def _payload(event: events.Event) -> bytes | None:
    """What a control frame carries; None for a message."""
    if isinstance(event, (events.Ping, events.Pong)):
        return bytes(event.payload)
    return (event.reason or "").encode() if isinstance(event, events.CloseConnection) else None


def _with_payload(event: events.Event, payload: bytes) -> events.Event:
    if isinstance(event, events.Ping):
        return replace(event, payload=payload)
    if isinstance(event, events.Pong):
        return replace(event, payload=payload)
    if isinstance(event, events.CloseConnection) and event.reason:
        return replace(event, reason=payload.decode(errors="replace"))
    return event
