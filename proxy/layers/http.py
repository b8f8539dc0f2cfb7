"""mitmproxy layers that refuse: without reading a refused body, and without mitmproxy's HTML pages.

Pinned to mitmproxy 12.2 (see docs/mitmproxy.md): `HttpStream.start_request_stream` is reached with the
response already set when a hook asks to stream a request that it refused; upstream raises
NotImplementedError there, we answer at once and drop what is still coming.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from mitmproxy import http
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    HttpClient,
    HttpLayer,
    HTTPMode,
    HttpStream,
    RegisterHttpConnection,
    SendHttp,
)
from mitmproxy.proxy.layers.http._base import HttpConnection
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestProtocolError,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.websocket import WebsocketLayer, WebsocketStartHook
from mitmproxy.proxy.tunnel import TunnelLayer

from proxy.admission.session import Session
from proxy.layers.failures import FailedRequest, FlowEndedHook, RefusedAnswerError, RequestFailedHook
from proxy.layers.http1 import GuardedHttp1Client, GuardedHttp1Server
from proxy.layers.http2 import GuardedHttp2Client, GuardedHttp2Server
from proxy.layers.refuse import TLS_ALERT_UNRECOGNIZED_NAME, BodyRefusedError, RefuseLayer
from proxy.layers.websocket import ControlFrames, WebsocketOpeningHook, guard_frames

MAX_DRAIN_BYTES = 16 << 20
"""Of a refused request's body, dropped so that the client gets to read the answer; then it is cut off."""


class GuardedHttpStream(HttpStream):
    """One request and its response."""

    _response_begun = False
    _has_body = False
    _drained = 0
    _is_cut = False
    _has_ended = False

    def start_request_stream(self) -> layer.CommandGenerator[None]:
        """Refused with a body still to come: answer now, then drop the body as it arrives."""
        response = self.flow.response
        if response is None:
            self._has_body = True
            yield from super().start_request_stream()
            return
        yield from self._answer(response)
        self.flow.live = False
        self.client_state = self._drop_body
        self.server_state = self.state_errored

    def state_stream_request_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """HttpStream.state_stream_request_body, cut off where the stream's callable refuses."""
        if isinstance(event, RequestData) and not event.data:
            return  # nothing is how mitmproxy 12.2 tells the callable that the body has ended
        try:
            yield from super().state_stream_request_body(event)
        except BodyRefusedError as refused:
            yield from self._cut(refused.response)

    def state_stream_response_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """As above, for the answer."""
        if isinstance(event, ResponseData) and not event.data:
            return
        try:
            yield from super().state_stream_response_body(event)
        except BodyRefusedError:
            yield from self._cut(None)

    def _cut(self, response: http.Response | None) -> layer.CommandGenerator[None]:
        """The upstream never gets to see an end of the request; the client an answer, if it has none yet."""
        self._is_cut = True
        reset = RequestProtocolError(self.stream_id, "refused", ErrorCode.CLIENT_DISCONNECTED)
        yield SendHttp(reset, self.context.server)
        if response is not None and not self._response_begun:
            yield from self._answer(response)
        else:
            yield commands.CloseConnection(self.context.client)
        self.flow.live = False
        self.client_state = self._drop_body
        self.server_state = self.state_errored

    def flow_done(self) -> layer.CommandGenerator[None]:
        """HttpStream.flow_done; a WebSocket that begins has its frames guarded from the first."""
        for command in super().flow_done():
            if isinstance(command, WebsocketStartHook) and isinstance(self.child_layer, WebsocketLayer):
                frames = ControlFrames(self.flow)
                yield WebsocketOpeningHook(frames)
                guard_frames(self.child_layer, frames)
            yield command

    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        """A body that HTTP/2 brings without a length is chunked towards an HTTP/1 upstream.

        mitmproxy 12.2 would write it raw behind a head that announces no body: the upstream would take it
        for the next request, one that no policy has seen.
        """
        is_connected = yield from super().make_server_connection()
        request = self.flow.request
        is_bare = request.is_http2 and "content-length" not in request.headers
        if is_connected and self._has_body and is_bare and self.context.server.alpn != b"h2":
            request.headers["transfer-encoding"] = "chunked"
        return is_connected

    def _answer(self, response: http.Response) -> layer.CommandGenerator[None]:
        client = self.context.client
        yield SendHttp(ResponseHeaders(self.stream_id, response, end_stream=False), client)
        yield SendHttp(ResponseData(self.stream_id, response.raw_content or b""), client)
        yield SendHttp(ResponseEndOfMessage(self.stream_id), client)

    def _drop_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, RequestData):
            self._drained += len(event.data)
            if self._drained > MAX_DRAIN_BYTES:
                yield commands.CloseConnection(self.context.client)

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        yield from self._handle_exchange(event)
        yield from self._tell_end()

    def passthrough(self, event: events.Event) -> layer.CommandGenerator[None]:
        """HttpStream.passthrough, which takes the place of `_handle_event` in a tunnel or a WebSocket."""
        yield from super().passthrough(event)
        yield from self._tell_end()

    def _tell_end(self) -> layer.CommandGenerator[None]:
        flow: http.HTTPFlow | None = getattr(self, "flow", None)  # none before a head was read
        if flow is not None and not flow.live and not self._has_ended:
            self._has_ended = True
            yield FlowEndedHook(flow)

    def _handle_exchange(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, RequestTrailers):  # they come behind every check of the head
            return
        if self._is_cut and isinstance(event, (ResponseProtocolError, RequestProtocolError)):
            return  # of the connection that was cut
        inner: Generator[commands.Command, Any, None] = super()._handle_event(event)
        reply: Any = None
        while True:
            try:
                command = inner.send(reply)
            except StopIteration:
                return
            client = self.context.client
            if isinstance(command, SendHttp) and command.connection is client and client.connected:
                if isinstance(command.event, ResponseHeaders):
                    self._response_begun = True
                elif isinstance(command.event, ResponseProtocolError) and (
                    yield from self._answer_failure(command.event)
                ):
                    reply = None
                    continue
            reply = yield command

    def _answer_failure(self, event: ResponseProtocolError) -> layer.CommandGenerator[bool]:
        """Tell of an upstream that failed; whether the client got an answer, since it had none yet."""
        defect = event.defect if isinstance(event, RefusedAnswerError) else None
        status = event.code.http_status_code()
        if status is None or event.code is ErrorCode.KILL or (self._response_begun and defect is None):
            return False
        failed = FailedRequest(self.context, status, event.message, self.flow, defect)
        yield RequestFailedHook(failed)
        if failed.response is None or self._response_begun:
            return False
        self._response_begun = True
        yield from self._answer(failed.response)
        yield commands.CloseConnection(self.context.client)
        return True


_OURS = (GuardedHttp1Server, GuardedHttp2Server, GuardedHttp1Client, GuardedHttp2Client)


class GuardedHttpClient(HttpClient):
    """HttpClient with our reader of what the upstream answers."""

    def __init__(self, context: Context, session: Session) -> None:
        super().__init__(context)
        self._session = session

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        error = None
        if not self.context.server.connected:
            error = yield commands.OpenConnection(self.context.server)
        if not error:
            self.child_layer = upstream_reader(self.context, self._session)
            self._handle_event = self.child_layer.handle_event  # type: ignore[method-assign]
            yield from self.child_layer.handle_event(event)
        yield RegisterHttpConnection(self.context.server, error)


def upstream_reader(context: Context, session: Session) -> GuardedHttp1Client | GuardedHttp2Client:
    """What speaks HTTP with an upstream: the one place where it is made."""
    if context.server.alpn == b"h2":
        return GuardedHttp2Client(context, session)
    return GuardedHttp1Client(context)


class GuardedHttpLayer(HttpLayer):
    """HttpLayer with our streams and our readers, towards the client and towards the upstream."""

    def __init__(self, context: Context, mode: HTTPMode, session: Session) -> None:
        super().__init__(context, mode)
        self._session = session

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            client: Connection = self.context.client
            reader = GuardedHttp2Server if client.alpn == b"h2" else GuardedHttp1Server
            self.connections.setdefault(client, reader(self.context.fork(), self._session))
        yield from super()._handle_event(event)
        reader_of_client = self.connections.get(self.context.client)
        if isinstance(reader_of_client, GuardedHttp2Server):
            yield from reader_of_client.give_room()

    def event_to_child(
        self, child: layer.Layer | HttpStream, event: events.Event
    ) -> layer.CommandGenerator[None]:
        """HttpLayer.event_to_child; what is started towards an upstream is one of ours.

        mitmproxy 12.2 makes its clients in the midst of `get_connection`, and starts each of them here.
        """
        if isinstance(event, events.Start):
            child = self._guarded(child)
        yield from super().event_to_child(child, event)

    def _guarded(self, child: layer.Layer) -> layer.Layer:
        if isinstance(child, TunnelLayer):  # TLS, with the client in it
            child.child_layer = self._guarded(child.child_layer)
            return child
        if type(child) is HttpClient:
            context = child.context
            context.layers.remove(child)
            guarded = GuardedHttpClient(context, self._session)
            if self.connections.get(context.server) is child:
                self.connections[context.server] = guarded
            return guarded
        if isinstance(child, HttpConnection) and not isinstance(child, _OURS):
            raise RuntimeError("a reader that is not ours")  # the layer around this one cuts the connection
        return child

    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        """As HttpLayer.make_stream, with a GuardedHttpStream."""
        self.streams[stream_id] = GuardedHttpStream(self.context.fork(), stream_id)
        yield from self.event_to_child(self.streams[stream_id], events.Start())


__all__ = [
    "TLS_ALERT_UNRECOGNIZED_NAME",
    "BodyRefusedError",
    "GuardedHttpLayer",
    "HTTPMode",
    "RefuseLayer",
]
