"""`python -m runtime.canary`: the canary with nothing but its plain routes."""

from __future__ import annotations

from starlette.routing import Router
from starlette.types import ASGIApp

from runtime.canary.command import serve
from runtime.canary.plain_api import routes
from runtime.canary.recorder import Recorder
from runtime.canary.world import World


def build_app(world: World) -> ASGIApp:
    """Every host answers the plain routes."""
    return Recorder(Router(routes(world)), world)


if __name__ == "__main__":
    serve(build_app)
