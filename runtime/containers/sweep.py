"""What is left of an instance: found by its labels and removed, containers before their networks."""

from __future__ import annotations

from collections.abc import Container, Iterable

from runtime.containers import labels
from runtime.engine.protocol import Engine

RUN_ROLES = ("sandbox", "probe", "helper", "network")
"""Of what is made for runs; the proxy is made once for all of them."""
PROXY_ROLE = "proxy"


async def reap(engine: Engine, instance: str, *, spare: Container[str | None]) -> int:
    """Remove what runs have left, but for the runs in `spare`; how many things were removed.

    `spare` is asked at each thing, so that a run which begins meanwhile keeps what it has. Raises
    EngineUnavailableError.
    """
    return await _remove(engine, instance, RUN_ROLES, spare)


async def sweep(engine: Engine, instance: str, *, with_proxy: bool) -> int:
    """Remove everything of an instance that no daemon runs; how many things were removed.

    A proxy that Compose keeps is Compose's to remove. Raises EngineUnavailableError.
    """
    return await _remove(engine, instance, (*RUN_ROLES, *((PROXY_ROLE,) if with_proxy else ())), ())


async def _remove(engine: Engine, instance: str, roles: Iterable[str], spare: Container[str | None]) -> int:
    marks = [labels.labels(instance, role) for role in roles]
    removed = 0
    for mark in marks:
        for container in await engine.containers(mark):
            if container.labels.get(labels.RUN) not in spare:
                await engine.remove(container.id)
                removed += 1
    for mark in marks:
        for network in await engine.networks(mark):
            if network.labels.get(labels.RUN) not in spare:
                await engine.remove_network(network.name)
                removed += 1
    return removed
