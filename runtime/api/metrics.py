"""`/metrics`: what Prometheus, and whatever reads its text format, asks for."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from starlette.responses import Response

from runtime.access.scopes import Scope
from runtime.api.gate import needs

type Exposition = Callable[[], tuple[bytes, str]]
"""The metrics as they are now, and the media type that they are written in."""


def add_metrics_route(app: FastAPI, exposition: Exposition) -> None:
    """Add the route."""

    @app.get("/metrics", dependencies=[needs(Scope.METRICS_READ)], response_class=Response)
    async def metrics() -> Response:
        """Answer with the daemon's metrics in Prometheus' text format."""
        text, media_type = exposition()
        return Response(text, headers={"Content-Type": media_type})
