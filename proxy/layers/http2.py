"""HTTP/2. From the sandbox: bounds on streams, resets and header blocks; a malformed stream is reset.

An upstream that takes nothing makes the client wait, by the windows of its streams. (mitmproxy 12.2 offers an
upstream only what the client offered, so a client of HTTP/1 never meets an upstream of HTTP/2.)

h2 4.3 already refuses more than 64 CONTINUATION frames and a decoded header list beyond 64 KiB; mitmproxy
12.2 raises the frame size to 128 KiB, so that those 64 frames alone could hold 8 MiB a connection.
"""

from __future__ import annotations

import time

import h2.errors
import h2.events
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._events import RequestData
from mitmproxy.proxy.layers.http._http2 import Http2Client, Http2Server

from proxy.admission.session import Session
from proxy.destination.heads import HeadDefect, stream_defect
from proxy.layers.failures import RequestFailedHook, failure
from proxy.layers.paced import PacedH2Connection
from proxy.policy.limits import (
    CONNECTION_WINDOW_BYTES,
    MAX_ANSWER_HEAD_BYTES,
    MAX_CONTROL_FRAMES_PER_MINUTE,
    MAX_HEAD_BYTES,
    MAX_RESETS_PER_MINUTE,
    MAX_STREAMS,
    STREAM_WINDOW_BYTES,
    SlidingWindow,
)
from proxy.policy.reasons import ReasonCode

_BAD_CONNECTION = HeadDefect(400, "the HTTP/2 connection is malformed")
_BAD_UPSTREAM = HeadDefect(502, "the upstream's HTTP/2 connection is malformed", ReasonCode.BAD_ANSWER)
_OF_A_STREAM = (h2.events.DataReceived, h2.events.TrailersReceived, h2.events.StreamEnded)
_PIECE_COST = 256
"""Of an event that waits, besides its bytes."""
_CONTROL = (
    h2.events.PingReceived,
    h2.events.PingAckReceived,
    h2.events.RemoteSettingsChanged,
    h2.events.SettingsAcknowledged,
    h2.events.PriorityUpdated,
    h2.events.UnknownFrameReceived,
)
_CALM = h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
_TOO_MANY_RESETS = "too many streams opened and taken back"


class GuardedHttp2Server(Http2Server):
    """Reads a sandbox's requests over HTTP/2, within our bounds on streams, heads and resets."""

    def __init__(self, context: Context, session: Session) -> None:
        super().__init__(context)
        self._session = session
        self._resets = SlidingWindow()
        self._control_frames = SlidingWindow()
        self._is_closed = False
        self.h2_conn: PacedH2Connection = PacedH2Connection(self.h2_conf)
        session.unsent = self.h2_conn.unsent
        self.h2_conn.local_settings.max_concurrent_streams = MAX_STREAMS
        self.h2_conn.narrow(stream_bytes=STREAM_WINDOW_BYTES, connection_bytes=CONNECTION_WINDOW_BYTES)

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        yield from super()._handle_event(event)
        if not isinstance(event, events.DataReceived):
            return
        block = self.h2_conn.incoming_buffer._headers_buffer  # pinned by test_unfinished_header_block
        if not block:
            self._session.settle()
        elif sum(len(frame.data) for frame in block) > MAX_HEAD_BYTES:
            yield from self.protocol_error("a header block too long", _CALM)
        else:
            self._session.owe_head()

    def give_room(self) -> layer.CommandGenerator[None]:
        """Let the client send as much as the upstream has taken."""
        if self._is_closed:
            return
        self.h2_conn.give_room(self._session.unsent_up)
        if data := self.h2_conn.data_to_send():
            yield commands.SendData(self.conn, data)

    def close_connection(self, msg: str) -> layer.CommandGenerator[None]:
        """Http2Server.close_connection; nothing is said behind it."""
        self._is_closed = True
        yield from super().close_connection(msg)

    def handle_h2_event(self, event: h2.events.Event) -> layer.CommandGenerator[bool]:
        """Http2Server.handle_h2_event behind our own look at headers and resets."""
        if isinstance(event, h2.events.RequestReceived):
            defect = stream_defect([(bytes(name), bytes(value)) for name, value in event.headers])
            if defect is not None:
                failed = failure(self.context, defect)
                yield RequestFailedHook(failed)
                if failed.is_over_budget:
                    yield from self.protocol_error("too many malformed streams", _CALM)
                    return True
                self.h2_conn.reset_stream(event.stream_id, h2.errors.ErrorCodes.PROTOCOL_ERROR)
                return False
        elif isinstance(event, h2.events.StreamReset):
            if not self._resets.take(MAX_RESETS_PER_MINUTE, time.monotonic()):
                yield from self.protocol_error(_TOO_MANY_RESETS, _CALM)
                return True
        elif isinstance(event, _CONTROL):
            if not self._control_frames.take(MAX_CONTROL_FRAMES_PER_MINUTE, time.monotonic()):
                yield from self.protocol_error("too many control frames", _CALM)
                return True
        elif isinstance(event, _OF_A_STREAM) and event.stream_id not in self.streams:
            if isinstance(event, h2.events.DataReceived):
                self.h2_conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            return False  # the rest of a stream that was reset
        return (yield from super().handle_h2_event(event))

    def protocol_error(
        self, message: str, error_code: int = h2.errors.ErrorCodes.PROTOCOL_ERROR
    ) -> layer.CommandGenerator[None]:
        """Http2Server.protocol_error, with a line in the audit."""
        yield RequestFailedHook(failure(self.context, _BAD_CONNECTION))
        yield from super().protocol_error(message, error_code)


class GuardedHttp2Client(Http2Client):
    """Reads an upstream's answers, and tells what of the requests it has not yet taken.

    mitmproxy 12.2 refuses a pushed stream by itself.
    """

    def __init__(self, context: Context, session: Session) -> None:
        super().__init__(context)
        self._unsent_up = session.unsent_up
        self._told: set[int] = set()
        self._queued: dict[int, int] = {}
        """Bytes of the requests that wait until the upstream allows another stream."""
        self.h2_conn: PacedH2Connection = PacedH2Connection(self.h2_conf)
        self.h2_conn.local_settings.enable_push = 0
        self.h2_conn.local_settings.acknowledge()

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, RequestData) and event.stream_id not in self.our_stream_id:
            size = len(event.data) + _PIECE_COST
            self._queued[event.stream_id] = self._queued.get(event.stream_id, 0) + size
        yield from super()._handle_event(event)
        block = self.h2_conn.incoming_buffer._headers_buffer
        if sum(len(frame.data) for frame in block) > MAX_ANSWER_HEAD_BYTES:
            yield from self.protocol_error("a header block too long", _CALM)
        self._tell()

    def close_connection(self, msg: str) -> layer.CommandGenerator[None]:
        """Http2Client.close_connection; nothing waits for it any more."""
        self.h2_conn.stream_buffers.clear()
        self.stream_queue.clear()
        self._tell()
        yield from super().close_connection(msg)

    def protocol_error(
        self, message: str, error_code: int = h2.errors.ErrorCodes.PROTOCOL_ERROR
    ) -> layer.CommandGenerator[None]:
        """Http2Client.protocol_error, with a line in the audit."""
        yield RequestFailedHook(failure(self.context, _BAD_UPSTREAM))
        yield from super().protocol_error(message, error_code)

    def _tell(self) -> None:
        self._queued = {theirs: size for theirs, size in self._queued.items() if theirs in self.stream_queue}
        unsent = {self.their_stream_id[o]: len(w.data) for o, w in self.h2_conn.stream_buffers.items()}
        unsent.update(self._queued)
        for stream_id in self._told - unsent.keys():
            self._unsent_up.pop(stream_id, None)
        self._unsent_up.update(unsent)
        self._told = set(unsent)
