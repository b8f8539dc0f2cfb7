"""HTTP/1. From the sandbox: heads checked as bytes before mitmproxy parses them, chunks read strictly.

From an upstream it is read as mitmproxy reads it, in a class of ours.

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
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server

from proxy.admission.session import Session
from proxy.destination.heads import HeadDefect, head_defect, head_end, unfinished_head_defect
from proxy.layers.failures import RequestFailedHook, failure
from proxy.policy.limits import MAX_PIPELINED_BYTES, MAX_TRAILER_BYTES

_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}\r\n")
_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n")
_BAD_FRAMING = HeadDefect(400, "the request's framing is malformed")
_BAD_CHUNK = HeadDefect(400, "a chunk that is not `size CR LF data CR LF`")
_TOO_MUCH_AHEAD = HeadDefect(400, "too much sent ahead of an answer")


class StrictChunks:
    """A body in chunks (RFC 9112 section 7.1) without extensions; trailers are read and dropped.

    h11 0.16, which mitmproxy uses, ignores extensions and allows spaces behind the size; and mitmproxy 12.2
    crashes on trailers.
    """

    def __init__(self) -> None:
        self.is_broken = False
        self._left = 0
        self._needs_end = False
        self._is_in_trailer = False

    def __call__(self, buf: ReceiveBuffer) -> h11.Data | h11.EndOfMessage | None:
        """The next piece, or None until more has come. Raises h11.ProtocolError."""
        if self._needs_end:
            if len(buf) < 2:
                return None
            self._require(bytes(buf.maybe_extract_at_most(2) or b"") == b"\r\n")
            self._needs_end = False
        if not self._left and not self._is_in_trailer:
            line = buf.maybe_extract_next_line()
            if line is None:
                self._require(len(buf) < 18 and b"\n" not in bytes(buf))
                return None
            self._require(_CHUNK_SIZE.fullmatch(line) is not None)
            self._left = int(line, 16)
            self._is_in_trailer = not self._left
        if self._is_in_trailer:
            return self._read_trailer(buf)
        data = buf.maybe_extract_at_most(self._left)
        if data is None:
            return None
        self._left -= len(data)
        self._needs_end = not self._left
        return h11.Data(data=bytes(data))

    def read_eof(self) -> h11.EndOfMessage:
        """The client has closed: always too early. Raises h11.ProtocolError."""
        raise h11.RemoteProtocolError("the body ended before its last chunk")

    def _read_trailer(self, buf: ReceiveBuffer) -> h11.EndOfMessage | None:
        raw = bytes(buf)
        end = 2 if raw[:2] == b"\r\n" else head_end(raw)
        if end is None:
            self._require(len(raw) <= MAX_TRAILER_BYTES)
            return None
        self._require(end <= MAX_TRAILER_BYTES and _TRAILER.fullmatch(raw[:end]) is not None)
        buf.maybe_extract_at_most(end)
        return h11.EndOfMessage()

    def _require(self, is_right: bool) -> None:  # noqa: FBT001 - an assertion
        if not is_right:
            self.is_broken = True
            raise h11.RemoteProtocolError("malformed chunk")


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
    """Reads an upstream's answers over HTTP/1; the one class that does."""
