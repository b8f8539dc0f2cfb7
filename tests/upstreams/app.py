"""The simulators as one application that chooses by Host name; whatever is no vendor's path is plain."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.canary import plain_api
from runtime.canary.recorder import Recorder, host_of
from runtime.canary.world import World
from tests.upstreams import (
    anthropic_api,
    apt_repository,
    cargo_registry,
    gemini_api,
    git_repo,
    openai_api,
    packages,
)

OPENAI = "api.openai.com"
ANTHROPIC = "api.anthropic.com"
GEMINI = "generativelanguage.googleapis.com"
PLAIN = "ok.test"
PIP = "pip.mirror.example"
NPM = "npm.mirror.example"
GIT = "git.mirror.example"
CARGO = "cargo.mirror.example"
APT = "apt.mirror.example"
HOSTS = (OPENAI, ANTHROPIC, GEMINI, PLAIN, PIP, NPM, GIT, CARGO, APT)


class ByHost:
    """Hands a request to the application of its Host; an unknown host gets the plain routes."""

    def __init__(self, apps: dict[str, ASGIApp], default: ASGIApp) -> None:
        self._apps = apps
        self._default = default

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one request; the server has no use for a lifespan."""
        if scope["type"] in {"http", "websocket"}:
            app = self._apps.get(host_of(Headers(scope=scope)), self._default)
            await app(scope, receive, send)


def build_app(world: World) -> ASGIApp:
    """The whole application, recording into `world`."""
    vendors: dict[str, Sequence[BaseRoute]] = {
        OPENAI: openai_api.routes(world),
        ANTHROPIC: anthropic_api.routes(world),
        GEMINI: gemini_api.routes(world),
        PIP: packages.pip_routes(),
        NPM: packages.npm_routes(),
        GIT: git_repo.routes(),
        CARGO: cargo_registry.routes(),
        APT: apt_repository.routes(),
    }
    plain = plain_api.routes(world)
    apps: dict[str, ASGIApp] = {host: Router([*own, *plain]) for host, own in vendors.items()}
    return Recorder(ByHost(apps, Router(plain)), world)
