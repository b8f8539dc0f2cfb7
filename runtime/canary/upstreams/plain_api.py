"""What every simulated host answers: echo, redirect, status, download, upload, events, WebSocket echo."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from runtime.canary.upstreams.sse import stream
from runtime.canary.world import World

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_BLOCK = bytes(range(256)) * 256


def routes(world: World) -> list[BaseRoute]:
    """The routes; every simulated host has them."""

    async def events(request: Request) -> Response:
        count = int(request.query_params.get("n", "10"))
        return stream(world, ((None, {"n": n}) for n in range(count)))

    return [
        Route("/", _hello),
        Route("/echo", _echo, methods=METHODS),
        Route("/echo/{rest:path}", _echo, methods=METHODS),
        Route("/redirect", _redirect, methods=METHODS),
        Route("/status/{code:int}", _status, methods=METHODS),
        Route("/bytes/{count:int}", _bytes),
        Route("/upload", _upload, methods=["POST", "PUT"]),
        Route("/slow/{seconds:float}", _slow),
        Route("/events", events),
        WebSocketRoute("/ws", _websocket),
    ]


async def _hello(request: Request) -> Response:
    return PlainTextResponse(f"this is {request.headers.get('host')}\n")


async def _echo(request: Request) -> Response:
    """Everything the request said, its body as size and digest only."""
    size, digest = await _drain(request)
    return JSONResponse(
        {
            "method": request.method,
            "scheme": request.url.scheme,
            "host": request.headers.get("host"),
            "path": request.url.path,
            "query": request.url.query,
            "headers": dict(request.headers),
            "body_bytes": size,
            "body_sha256": digest,
        }
    )


async def _redirect(request: Request) -> Response:
    to, code = request.query_params.get("to", "/"), int(request.query_params.get("code", "302"))
    return RedirectResponse(to, status_code=code)


async def _status(request: Request) -> Response:
    return PlainTextResponse("as asked\n", status_code=request.path_params["code"])


async def _bytes(request: Request) -> Response:
    count = request.path_params["count"]

    async def blocks() -> AsyncIterator[bytes]:
        left = count
        while left > 0:
            yield _BLOCK[: min(left, len(_BLOCK))]
            left -= len(_BLOCK)

    headers = {} if "chunked" in request.query_params else {"content-length": str(count)}
    return StreamingResponse(blocks(), media_type="application/octet-stream", headers=headers)


async def _upload(request: Request) -> Response:
    size, digest = await _drain(request)
    return JSONResponse({"body_bytes": size, "body_sha256": digest})


async def _slow(request: Request) -> Response:
    await asyncio.sleep(min(request.path_params["seconds"], 60.0))
    return PlainTextResponse("at last\n")


async def _websocket(websocket: WebSocket) -> None:
    offered = websocket.scope.get("subprotocols") or [None]
    await websocket.accept(subprotocol=offered[0])
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


async def _drain(request: Request) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    async for block in request.stream():
        digest.update(block)
        size += len(block)
    return size, digest.hexdigest()
