"""A WebSocket's control frames carry nothing unless the hook says so; its messages have a bound."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy.test import tflow
from wsproto import events

from proxy.layers.websocket import (
    ControlFrames,
    MessageTooLongError,
    WebsocketOpeningHook,
    WholeFrames,
    guard_frames,
)
from proxy.policy.limits import MAX_MESSAGE_BYTES
from proxy.policy.model import Decision

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
    guard_frames(layer, frames)
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


def test_a_frame_is_one_event_whatever_its_pieces() -> None:
    """mitmproxy copies all of a frame for each event: there is one a frame."""
    whole = WholeFrames()
    pieces = [events.TextMessage("\u00fc", frame_finished=False, message_finished=False)] * 9
    last = events.TextMessage("x", frame_finished=True, message_finished=False)
    got = [whole(event) for event in (*pieces, last)]
    assert got == [None] * 9 + [events.TextMessage("\u00fc" * 9 + "x", message_finished=False)]


def test_a_message_may_be_as_long_as_the_bound_and_no_longer() -> None:
    """Each message is counted by itself."""
    whole = WholeFrames()
    longest = events.BytesMessage(b"x" * (MAX_MESSAGE_BYTES - 64))
    assert [whole(longest), whole(longest)] == [longest, longest]
    with pytest.raises(MessageTooLongError):
        whole(events.BytesMessage(b"x" * (MAX_MESSAGE_BYTES - 63)))


def test_frames_without_content_are_held_too() -> None:
    """A frame costs more than its payload."""
    whole = WholeFrames()
    empty = events.BytesMessage(b"", message_finished=False)
    for _ in range(MAX_MESSAGE_BYTES // 64):
        whole(empty)
    with pytest.raises(MessageTooLongError):
        whole(empty)


def test_a_message_beyond_the_bound_is_a_close_and_a_refusal() -> None:
    """Nothing is read behind it."""
    refused: list[Decision] = []
    layer: Any = SimpleNamespace()
    sent = [events.BytesMessage(b"x" * (MAX_MESSAGE_BYTES + 1)), events.TextMessage("d")]
    layer.client_ws, layer.server_ws = (SimpleNamespace(events=lambda: iter(sent)) for _ in range(2))
    guard_frames(layer, ControlFrames(tflow.twebsocketflow(), refuse=refused.append))

    got = [*layer.client_ws.events(), *layer.server_ws.events()]
    assert [getattr(event, "code", None) for event in got] == [1009, 1009]
    assert [decision.reason_code for decision in refused] == ["bad_request", "bad_answer"]
