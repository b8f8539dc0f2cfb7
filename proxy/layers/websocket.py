"""A WebSocket's control frames: mitmproxy 12.2 relays ping, pong and close without asking any hook.

Each has room for 125 bytes of the sandbox's choice, so they pass a check that the addon hands over when the
WebSocket begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mitmproxy import http
from mitmproxy.proxy.commands import StartHook
from mitmproxy.proxy.layers.websocket import WebsocketLayer
from wsproto import events


@dataclass(eq=False)
class ControlFrames:
    """What may pass in the control frames of one WebSocket; nothing, unless the hook says so."""

    flow: http.HTTPFlow
    check: Callable[[bytes], bool] = lambda _payload: False
    """Whether a payload may go upstream."""
    scrub: Callable[[bytes], bytes] = lambda _payload: b""
    """A payload without what the upstream may not send back."""


@dataclass
class WebsocketOpeningHook(StartHook):
    """A WebSocket is about to begin; the addon fills in `check` and `scrub`."""

    frames: ControlFrames


def guard_control_frames(layer: WebsocketLayer, frames: ControlFrames) -> None:
    """Check the sandbox's control frames and scrub the upstream's. Call it before any of them is read."""
    from_client, from_server = layer.client_ws.events, layer.server_ws.events

    def checked() -> Iterator[events.Event]:
        for event in from_client():
            payload = _payload(event)
            if payload is None or frames.check(payload):
                yield event

    def scrubbed() -> Iterator[events.Event]:
        for event in from_server():
            payload = _payload(event)
            yield event if payload is None else _with_payload(event, frames.scrub(payload))

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
