"""ASGI middleware: writes down each request and the timing of its answer, and applies failure modes."""

from __future__ import annotations

import asyncio
import hashlib

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.canary.seen import Exchange
from runtime.canary.world import Failure, World


class CutError(Exception):
    """Raised by a failure mode to drop the connection in the middle of an answer."""


class Recorder:
    """Wraps the simulators' application. A reset while a request runs drops that request's entry."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Record one request or WebSocket and hand it on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        entry = _entry(scope, self._world)
        self._world.seen.requests.append(entry)
        failure = self._world.failure_for(entry.host, entry.path)
        if failure is not None and failure.delay_s:
            await asyncio.sleep(failure.delay_s)
        if failure is not None and failure.is_dropped:
            # The cycle behind uvicorn's `send` holds the connection, which ASGI itself cannot drop.
            send.__self__.transport.abort()  # type: ignore[attr-defined]
            return
        app: ASGIApp = self._app
        if failure is not None and failure.status is not None and scope["type"] == "http":
            error = {"message": "simulated failure", "type": "simulated"}
            app = JSONResponse({"error": error}, failure.status)
        try:
            await app(scope, _counted_receive(receive, entry), self._timed_send(send, entry, failure))
        except CutError:
            return  # leaving the answer unfinished makes the server drop the connection

    def _timed_send(self, send: Send, entry: Exchange, failure: Failure | None) -> Send:
        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry.status = message["status"]
            body = message.get("body") or message.get("bytes") or (message.get("text") or "").encode()
            if body:
                if failure is not None and failure.cut_after_chunks == entry.sent_chunks:
                    raise CutError
                now = self._world.now()
                entry.first_byte_at = entry.first_byte_at or now
                entry.last_byte_at = now
                entry.sent_bytes += len(body)
                entry.sent_chunks += 1
            await send(message)

        return timed


def _counted_receive(receive: Receive, entry: Exchange) -> Receive:
    digest = hashlib.sha256()

    async def counted() -> Message:
        message = await receive()
        body = message.get("body") or message.get("bytes") or (message.get("text") or "").encode()
        if body:
            entry.body_bytes += len(body)
            digest.update(body)
            entry.body_sha256 = digest.hexdigest()
        return message

    return counted


def _entry(scope: Scope, world: World) -> Exchange:
    headers = Headers(scope=scope)
    address, port = scope.get("server") or ("", 0)
    client = tuple(scope.get("client") or ("", 0))
    return Exchange(
        at=world.now(),
        scheme=scope["scheme"],
        address=address,
        port=port or 0,
        sni=world.sni_by_connection.get((client[0], client[1])),
        host=host_of(headers),
        method=scope.get("method", "WEBSOCKET"),
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=[(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]],
    )


def host_of(headers: Headers) -> str:
    """The Host header's name, lower case, without its port."""
    return headers.get("host", "").rsplit(":", 1)[0].lower()
