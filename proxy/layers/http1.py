"""HTTP/1. From the sandbox: heads checked as bytes before mitmproxy parses them, chunks read strictly.

From an upstream it is read as leniently as mitmproxy reads it, but for how much of it is held.

Pinned to mitmproxy 12.2 (docs/mitmproxy.md). Its own parser stays behind ours as a second line.
"""

from __future__ import annotations

import re

import h11
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import ResponseProtocolError
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server

from proxy.admission.session import Session
from proxy.destination.heads import HeadDefect, head_defect, head_end, unfinished_head_defect
from proxy.layers.failures import RefusedAnswerError, RequestFailedHook, failure
from proxy.policy.limits import (
    MAX_ANSWER_HEAD_BYTES,
    MAX_ANSWER_HEADERS,
    MAX_CHUNK_LINE_BYTES,
    MAX_PIPELINED_BYTES,
    MAX_TRAILER_BYTES,
)
from proxy.policy.reasons import ReasonCode

_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n")
_BAD_FRAMING = HeadDefect(400, "the request's framing is malformed")
_ANSWER_HEAD_TOO_LONG = HeadDefect(502, "the head of the answer is too large", ReasonCode.BAD_ANSWER)
_BAD_ANSWER_CHUNK = HeadDefect(502, "the answer has a malformed chunk", ReasonCode.BAD_ANSWER)
_BAD_CHUNK = HeadDefect(400, "a chunk that is not `size CR LF data CR LF`")
_TOO_MUCH_AHEAD = HeadDefect(400, "too much sent ahead of an answer")


class Chunks:
    """A body in chunks (RFC 9112 section 7.1); trailers are read and dropped.

    h11 0.16, which mitmproxy uses, holds a line of any length and makes an event of each chunk, however
    short; and mitmproxy 12.2 crashes on trailers. Here what came at one time is one event.
    """

    line = re.compile(rb"[0-9A-Fa-f]{1,16}[ \t]*(;[^\r\n]*)?\r\n")
    """How a chunk may begin."""
    max_line_bytes = MAX_CHUNK_LINE_BYTES

    def __init__(self) -> None:
        self.is_broken = False
        self._left = 0
        self._needs_end = False
        self._is_in_trailer = False
        self._has_ended = False

    def __call__(self, buf: ReceiveBuffer) -> h11.Data | h11.EndOfMessage | None:
        """What has come, its end, or None until more has come. Raises h11.ProtocolError."""
        data = bytearray()
        while not self.is_broken and not self._has_ended and (piece := self._read(buf)) is not None:
            data += piece
        if data:
            return h11.Data(data=bytes(data))
        if self.is_broken:
            raise h11.RemoteProtocolError("malformed chunk")
        return h11.EndOfMessage() if self._has_ended else None

    def read_eof(self) -> h11.EndOfMessage:
        """The sender has closed: always too early. Raises h11.ProtocolError."""
        raise h11.RemoteProtocolError("the body ended before its last chunk")

    def _read(self, buf: ReceiveBuffer) -> bytes | bytearray | None:
        """A piece of data, nothing at what is malformed or the end; None until more has come."""
        if self._needs_end:
            if len(buf) < 2:
                return None
            if bytes(buf.maybe_extract_at_most(2) or b"") != b"\r\n":
                return self._break()
            self._needs_end = False
        if not self._left and not self._is_in_trailer:
            line = buf.maybe_extract_next_line()
            if line is None:
                is_right = len(buf) < self.max_line_bytes and b"\n" not in bytes(buf)
                return None if is_right else self._break()
            if len(line) > self.max_line_bytes or not self.line.fullmatch(line):
                return self._break()
            self._left = int(line.partition(b";")[0], 16)
            self._is_in_trailer = not self._left
        if self._is_in_trailer:
            return self._read_trailer(buf)
        data = buf.maybe_extract_at_most(self._left)
        if data is None:
            return None
        self._left -= len(data)
        self._needs_end = not self._left
        return data

    def _read_trailer(self, buf: ReceiveBuffer) -> bytes | None:
        raw = bytes(buf)
        end = 2 if raw[:2] == b"\r\n" else head_end(raw)
        if end is None:
            return None if len(raw) <= MAX_TRAILER_BYTES else self._break()
        if end > MAX_TRAILER_BYTES or not _TRAILER.fullmatch(raw[:end]):
            return self._break()
        buf.maybe_extract_at_most(end)
        self._has_ended = True
        return b""

    def _break(self) -> bytes:
        self.is_broken = True
        return b""


class StrictChunks(Chunks):
    """As a sandbox may send them: `size CR LF`, without extensions and spaces."""

    line = re.compile(rb"[0-9A-Fa-f]{1,16}\r\n")
    max_line_bytes = 18


class CloseAfterAnswer(commands.CloseConnection):
    """Closes behind an answer whose length was told and that is whole."""


class GuardedHttp1Server(Http1Server):
    """Reads requests; what is malformed is reported, answered and closed."""

    def __init__(self, context: Context, session: Session) -> None:
        super().__init__(context)
        self._session = session
        self._is_told = False

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        yield from super()._handle_event(event)
        if self.state == self.done:
            self.buf = ReceiveBuffer()
        elif self.state == self.wait and len(self.buf) > MAX_PIPELINED_BYTES:
            yield RequestFailedHook(failure(self.context, _TOO_MUCH_AHEAD))
            yield commands.CloseConnection(self.conn)
            self.state = self.done

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        """Http1Server.read_headers behind our own look at the bytes, and with errors that we word."""
        if isinstance(event, events.DataReceived):
            raw = bytes(self.buf)
            end = head_end(raw)
            defect = unfinished_head_defect(raw) if end is None else head_defect(raw[:end])
            if defect is not None:
                self._session.settle()
                yield from self._fail(defect)
                yield commands.CloseConnection(self.conn)
                self.state = self.done
                return
            if end is None:
                self._session.owe_head()
                return
            self._session.settle()
        for command in super().read_headers(event):
            is_page = isinstance(command, commands.SendData) and command.data.startswith(b"HTTP/1.1 400")
            if is_page and not self._is_told:
                yield from self._fail(_BAD_FRAMING)
            else:
                yield command

    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Http1Server.read_body with our reader of chunks; a broken one is told where it still can be."""
        if isinstance(self.body_reader, ChunkedReader):
            self.body_reader = StrictChunks()  # type: ignore[assignment]
        for command in super().read_body(event):
            if isinstance(command, commands.CloseConnection) and getattr(
                self.body_reader, "is_broken", False
            ):
                self.state = self.done
                if self.response is None:
                    yield from self._fail(_BAD_CHUNK)
            yield command

    def _fail(self, defect: HeadDefect) -> layer.CommandGenerator[None]:
        self._is_told = True
        failed = failure(self.context, defect)
        yield RequestFailedHook(failed)
        if failed.response is not None:
            yield commands.SendData(self.conn, http1.assemble_response(failed.response))

    def mark_done(self, *, request: bool = False, response: bool = False) -> layer.CommandGenerator[None]:
        """Http1Server.mark_done, which alone closes behind a whole answer; other closes may cut one off."""
        for command in super().mark_done(request=request, response=response):
            if isinstance(command, commands.CloseConnection) and self._has_told_length():
                yield CloseAfterAnswer(self.conn)
            else:
                yield command

    def _has_told_length(self) -> bool:
        if self.request is None:
            return False
        try:
            return http1.expected_http_body_size(self.request, self.response) != -1
        except ValueError:
            return False


class GuardedHttp1Client(Http1Client):
    """Reads an upstream's answers over HTTP/1; the one class that does. Heads and chunk lines have bounds."""

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        """Http1Client.read_headers; mitmproxy 12.2 holds a head of any length, and copies it fold by fold."""
        if self.request and isinstance(event, events.DataReceived):
            raw = bytes(self.buf)
            head = raw[: head_end(raw)]
            if len(head) > MAX_ANSWER_HEAD_BYTES or head.count(b"\n") > MAX_ANSWER_HEADERS + 2:
                yield from self._refuse(_ANSWER_HEAD_TOO_LONG)
                return
        yield from super().read_headers(event)

    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Http1Client.read_body with our reader of chunks."""
        if isinstance(self.body_reader, ChunkedReader):
            self.body_reader = Chunks()  # type: ignore[assignment]
        for command in super().read_body(event):
            is_failure = isinstance(command, ReceiveHttp) and isinstance(command.event, ResponseProtocolError)
            if is_failure and getattr(self.body_reader, "is_broken", False):
                yield from self._refuse(_BAD_ANSWER_CHUNK)
                return
            yield command

    def _refuse(self, defect: HeadDefect) -> layer.CommandGenerator[None]:
        self.buf = ReceiveBuffer()
        self.state = self.done
        yield commands.CloseConnection(self.conn)
        if self.stream_id is not None:
            yield ReceiveHttp(RefusedAnswerError(self.stream_id, defect))
