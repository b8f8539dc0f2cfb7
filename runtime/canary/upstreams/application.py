"""The canary's application: plain routes for each host, the LLM vendors' APIs, registries of one package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.canary.upstreams import (
    anthropic_api,
    apt_repository,
    cargo_registry,
    gemini_api,
    git_repo,
    openai_api,
    packages,
    plain_api,
)
from runtime.canary.upstreams.recorder import Recorder, host_of
from runtime.canary.world import World

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
    """Hands a request to the application of its Host; an unknown host gets the default."""

    def __init__(self, apps: Mapping[str, ASGIApp], default: ASGIApp) -> None:
        self._apps = apps
        self._default = default

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one request; the server has no use for a lifespan."""
        if scope["type"] in {"http", "websocket"}:
            app = self._apps.get(host_of(Headers(scope=scope)), self._default)
            await app(scope, receive, send)


def registry_routes() -> dict[str, Sequence[BaseRoute]]:
    """What each registry's host serves beside the plain routes."""
    return {
        PIP: packages.pip_routes(),
        NPM: packages.npm_routes(),
        GIT: git_repo.routes(),
        CARGO: cargo_registry.routes(),
        APT: apt_repository.routes(),
    }


def vendor_routes(world: World) -> dict[str, Sequence[BaseRoute]]:
    """What each LLM vendor's host serves beside the plain routes, as the vendor documents it."""
    return {
        OPENAI: openai_api.routes(world),
        ANTHROPIC: anthropic_api.routes(world),
        GEMINI: gemini_api.routes(world),
    }


def build_app(world: World) -> ASGIApp:
    """The whole application, which chooses by Host name and records into `world`."""
    plain = plain_api.routes(world)
    known = {**vendor_routes(world), **registry_routes()}
    apps = {host: Router([*own, *plain]) for host, own in known.items()}
    return Recorder(ByHost(apps, Router(plain)), world)
