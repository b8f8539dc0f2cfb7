"""A WebSocket's control frames carry nothing unless the hook says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from mitmproxy.test import tflow
from wsproto import events

from proxy.layers.websocket import ControlFrames, WebsocketOpeningHook, guard_control_frames

SENT = [
    events.Ping(b"a"),
    events.Pong(b"b"),
    events.CloseConnection(code=1000, reason="c"),
    events.TextMessage("d"),
]


def guarded(frames: ControlFrames) -> Any:
    """A layer whose two sides both have these events."""
    sides = [SimpleNamespace(events=lambda: iter(SENT)) for _ in range(2)]
    layer: Any = SimpleNamespace(client_ws=sides[0], server_ws=sides[1])
    guard_control_frames(layer, frames)
    return layer


def test_unanswered_hook_lets_nothing_through() -> None:
    """A hook that failed is only logged by mitmproxy: the zero value refuses."""
    layer = guarded(ControlFrames(tflow.twebsocketflow()))
    assert list(layer.client_ws.events()) == [events.TextMessage("d")]
    assert [getattr(e, "payload", getattr(e, "reason", None)) for e in layer.server_ws.events()][:3] == [
        b"",
        b"",
        "",
    ]


def test_what_the_hook_says_counts() -> None:
    """Messages pass: they have a hook of their own."""
    frames = ControlFrames(tflow.twebsocketflow(), check=lambda p: p != b"b", scrub=lambda p: p.upper())
    layer = guarded(frames)
    assert list(layer.client_ws.events()) == [SENT[0], SENT[2], SENT[3]]
    assert next(iter(layer.server_ws.events())) == events.Ping(b"A")


def test_the_hook_has_its_name() -> None:
    """mitmproxy calls hooks by the name that it makes from the class's."""
    assert WebsocketOpeningHook.name == "websocket_opening"
