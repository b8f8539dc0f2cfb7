"""The simulators as one application that chooses by Host name; whatever is no vendor's path is plain."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp

from runtime.canary.upstreams import plain_api
from runtime.canary.upstreams.application import APT, CARGO, GIT, NPM, PIP, ByHost, registry_routes
from runtime.canary.upstreams.recorder import Recorder
from runtime.canary.world import World
from tests.upstreams import anthropic_api, gemini_api, openai_api

OPENAI = "api.openai.com"
ANTHROPIC = "api.anthropic.com"
GEMINI = "generativelanguage.googleapis.com"
PLAIN = "ok.test"
HOSTS = (OPENAI, ANTHROPIC, GEMINI, PLAIN, PIP, NPM, GIT, CARGO, APT)


def build_app(world: World) -> ASGIApp:
    """The whole application, recording into `world`."""
    vendors: dict[str, Sequence[BaseRoute]] = {
        OPENAI: openai_api.routes(world),
        ANTHROPIC: anthropic_api.routes(world),
        GEMINI: gemini_api.routes(world),
        **registry_routes(),
    }
    plain = plain_api.routes(world)
    apps: dict[str, ASGIApp] = {host: Router([*own, *plain]) for host, own in vendors.items()}
    return Recorder(ByHost(apps, Router(plain)), world)
