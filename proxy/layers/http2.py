"""HTTP/2. From the sandbox: bounds on streams, resets and header blocks; a malformed stream is reset.

From an upstream it is read as mitmproxy reads it, in a class of ours.

h2 4.3 already refuses more than 64 CONTINUATION frames and a decoded header list beyond 64 KiB; mitmproxy
12.2 raises the frame size to 128 KiB, so that those 64 frames alone could hold 8 MiB a connection.
"""

from __future__ import annotations

import time

import h2.errors
import h2.events
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._http2 import Http2Client, Http2Server

from proxy.admission.session import Session
from proxy.destination.heads import HeadDefect, stream_defect
from proxy.layers.failures import RequestFailedHook, failure
from proxy.policy.limits import MAX_HEAD_BYTES, MAX_RESETS_PER_MINUTE, MAX_STREAMS, SlidingWindow

_BAD_CONNECTION = HeadDefect(400, "the HTTP/2 connection is malformed")
_OF_A_STREAM = (h2.events.DataReceived, h2.events.TrailersReceived, h2.events.StreamEnded)
_TOO_MANY_RESETS = "too many streams opened and taken back"


class GuardedHttp2Server(Http2Server):
    """Reads a sandbox's requests over HTTP/2, within our bounds on streams, heads and resets."""

    def __init__(self, context: Context, session: Session) -> None:
        super().__init__(context)
        self._session = session
        self._resets = SlidingWindow()
        session.unsent = self._unsent
        self.h2_conn.local_settings.max_concurrent_streams = MAX_STREAMS
        self.h2_conn.local_settings.acknowledge()

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        yield from super()._handle_event(event)
        if not isinstance(event, events.DataReceived):
            return
        block = self.h2_conn.incoming_buffer._headers_buffer  # pinned by test_unfinished_header_block
        if not block:
            self._session.settle()
        elif sum(len(frame.data) for frame in block) > MAX_HEAD_BYTES:
            yield from self.protocol_error("a header block too long", h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
        else:
            self._session.owe_head()

    def _unsent(self) -> int:
        """Bytes that no window of the client's has room for (pinned by test_client_that_takes_nothing)."""
        return sum(len(piece.data) for pieces in self.h2_conn.stream_buffers.values() for piece in pieces)

    def handle_h2_event(self, event: h2.events.Event) -> layer.CommandGenerator[bool]:
        """Http2Server.handle_h2_event behind our own look at headers and resets."""
        if isinstance(event, h2.events.RequestReceived):
            defect = stream_defect([(bytes(name), bytes(value)) for name, value in event.headers])
            if defect is not None:
                yield RequestFailedHook(failure(self.context, defect))
                self.h2_conn.reset_stream(event.stream_id, h2.errors.ErrorCodes.PROTOCOL_ERROR)
                return False
        elif isinstance(event, h2.events.StreamReset):
            if not self._resets.take(MAX_RESETS_PER_MINUTE, time.monotonic()):
                calm = h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
                yield from self.protocol_error(_TOO_MANY_RESETS, calm)
                return True
        elif isinstance(event, _OF_A_STREAM) and event.stream_id not in self.streams:
            return False  # the rest of a stream that was reset
        return (yield from super().handle_h2_event(event))

    def protocol_error(
        self, message: str, error_code: int = h2.errors.ErrorCodes.PROTOCOL_ERROR
    ) -> layer.CommandGenerator[None]:
        """Http2Server.protocol_error, with a line in the audit."""
        yield RequestFailedHook(failure(self.context, _BAD_CONNECTION))
        yield from super().protocol_error(message, error_code)


class GuardedHttp2Client(Http2Client):
    """Reads an upstream's answers; mitmproxy 12.2 refuses a pushed stream by itself."""
