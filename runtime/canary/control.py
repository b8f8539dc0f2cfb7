"""The control endpoint, on a unix socket: read and reset the record, set failures, zone and delay.

GET /health, GET /record, POST /reset, POST /failures [{...}] (replaces all), POST /zone {name: [[...]]}
(adds), POST /settings {"token_delay_s": 0.05}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime.canary.world import Failure, World

_Action = Callable[[Any], object]


def build_control(world: World, *, is_ready: Callable[[], bool]) -> Starlette:
    """The control application of one simulator process."""

    async def health(_: Request) -> Response:
        return JSONResponse({"ready": is_ready()}, 200 if is_ready() else 503)

    async def record(_: Request) -> Response:
        return JSONResponse(world.snapshot())

    def set_failures(data: Any) -> None:
        world.failures = [Failure(**item) for item in data]

    def set_delay(data: Any) -> None:
        world.token_delay_s = float(data["token_delay_s"])

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/record", record),
            Route("/reset", _post(lambda _: world.reset()), methods=["POST"]),
            Route("/failures", _post(set_failures), methods=["POST"]),
            Route("/zone", _post(world.zone.names.update), methods=["POST"]),
            Route("/settings", _post(set_delay), methods=["POST"]),
        ]
    )


def _post(action: _Action) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        try:
            action(await request.json())
        except (KeyError, TypeError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({})

    return handle
