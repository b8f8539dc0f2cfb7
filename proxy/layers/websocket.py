"""A WebSocket's frames: how much of a message is held, and what may pass in a control frame.

mitmproxy 12.2 relays ping, pong and close without asking any hook. Each has room for 125 bytes of the
sandbox's choice, so they pass a check that the addon hands over when the WebSocket begins. And it holds a
message until it is whole, however long that is, and copies all of it for each piece that comes; here a
message has a bound, and each of its bytes is copied once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mitmproxy import http
from mitmproxy.proxy.commands import StartHook
from mitmproxy.proxy.layers.websocket import WebsocketLayer
from wsproto import events
from wsproto.frame_protocol import CloseReason

from proxy.policy.limits import MAX_MESSAGE_BYTES
from proxy.policy.model import Decision
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import deny

_FRAME_COST = 64
"""Bytes that a frame of a message counts for besides its payload: an empty one is held too."""
_TOO_LONG = f"a WebSocket message of more than {MAX_MESSAGE_BYTES} bytes"
_TOO_LONG_SENT = deny(ReasonCode.BAD_REQUEST, _TOO_LONG)
_TOO_LONG_ANSWER = deny(ReasonCode.BAD_ANSWER, _TOO_LONG)


@dataclass(eq=False)
class ControlFrames:
    """What may pass in the control frames of one WebSocket; nothing, unless the hook says so."""

    flow: http.HTTPFlow
    check: Callable[[bytes], bool] = lambda _payload: False
    """Whether a payload may go upstream."""
    scrub: Callable[[bytes], bytes] = lambda _payload: b""
    """A payload without what the upstream may not send back."""
    refuse: Callable[[Decision], None] = lambda _decision: None
    """Told why the WebSocket is about to be closed."""


@dataclass
class WebsocketOpeningHook(StartHook):
    """A WebSocket is about to begin; the addon fills in the callables."""

    frames: ControlFrames


class MessageTooLongError(Exception):
    """A message is longer than may be held."""


class WholeFrames:
    """Joins the pieces of each frame, so that whoever reads on does so once a frame."""

    def __init__(self) -> None:
        self._frame = bytearray()
        self._message_bytes = 0

    def __call__(self, event: events.Event) -> events.Event | None:
        """The event, or None where the rest of the frame is due. Raises MessageTooLongError."""
        if not isinstance(event, events.Message):
            return event
        data = event.data.encode() if isinstance(event.data, str) else event.data
        self._message_bytes += len(data)
        if event.frame_finished:
            self._message_bytes += _FRAME_COST
        if self._message_bytes > MAX_MESSAGE_BYTES:
            self._frame = bytearray()
            raise MessageTooLongError
        if not event.frame_finished:
            self._frame += data
            return None
        if event.message_finished:
            self._message_bytes = 0
        if not self._frame:
            return event
        whole, self._frame = bytes(self._frame + data), bytearray()
        return replace(event, data=whole.decode() if isinstance(event.data, str) else whole)


def guard_frames(layer: WebsocketLayer, frames: ControlFrames) -> None:
    """Bound both sides' messages, check the sandbox's control frames and scrub the upstream's.

    Call it before any of them is read.
    """

    def checked(event: events.Event) -> events.Event | None:
        payload = _payload(event)
        return event if payload is None or frames.check(payload) else None

    def scrubbed(event: events.Event) -> events.Event:
        payload = _payload(event)
        return event if payload is None else _with_payload(event, frames.scrub(payload))

    for side, control, refusal in (
        (layer.client_ws, checked, _TOO_LONG_SENT),
        (layer.server_ws, scrubbed, _TOO_LONG_ANSWER),
    ):
        side.events = _guarded(side.events, control, frames, refusal)


def _guarded(
    read: Callable[[], Iterator[events.Event]],
    control: Callable[[events.Event], events.Event | None],
    frames: ControlFrames,
    refusal: Decision,
) -> Callable[[], Iterator[events.Event]]:
    whole = WholeFrames()

    def guarded() -> Iterator[events.Event]:
        for event in read():
            try:
                kept = whole(event)
            except MessageTooLongError:
                frames.refuse(refusal)
                yield events.CloseConnection(CloseReason.MESSAGE_TOO_BIG, _TOO_LONG)  # sent to both sides
                return
            if kept is not None and (allowed := control(kept)) is not None:
                yield allowed

    return guarded


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
