"""What is left of an instance: found by its labels and removed, containers before their networks."""

from __future__ import annotations

from collections.abc import Container, Iterable

from runtime.containers import labels
from runtime.engine.protocol import Engine

RUN_ROLES = ("sandbox", "probe", "helper", "network")
"""Of what is made for runs; the proxy is made once for all of them."""
PROXY_ROLE = "proxy"


async def reap(engine: Engine, instance: str, *, installation: str, spare: Container[str | None]) -> int:
    """Remove what runs of this installation have left, but for those in `spare`; how many things.

    `spare` is asked at each thing, so that a run which begins meanwhile keeps what it has. Raises
    EngineUnavailableError.
    """
    return await _remove(engine, instance, installation, RUN_ROLES, spare)


async def sweep(engine: Engine, instance: str, *, installation: str | None, with_proxy: bool) -> int:
    """Remove everything of an installation that no daemon runs; how many things were removed.

    None is for an instance whose name is nobody else's (`runtime.daemon.embedded`): then all of it goes. A
    proxy that Compose keeps is Compose's to remove. Raises EngineUnavailableError.
    """
    roles = (*RUN_ROLES, *((PROXY_ROLE,) if with_proxy else ()))
    return await _remove(engine, instance, installation, roles, ())


async def remove_all(engine: Engine, containers: Iterable[str], networks: Iterable[str]) -> int:
    """Remove these, containers before networks; how many."""
    removed = 0
    for container in containers:
        await engine.remove(container)
        removed += 1
    for network in networks:
        await engine.remove_network(network)
        removed += 1
    return removed


async def _remove(
    engine: Engine,
    instance: str,
    installation: str | None,
    roles: Iterable[str],
    spare: Container[str | None],
) -> int:
    own = {} if installation is None else {labels.INSTALLATION: installation}
    marks = [labels.labels(instance, role, **own) for role in roles]
    removed = 0
    for mark in marks:
        for container in await engine.containers(mark):
            if container.labels.get(labels.RUN) not in spare:
                removed += await remove_all(engine, [container.id], ())
    for mark in marks:
        for network in await engine.networks(mark):
            if network.labels.get(labels.RUN) not in spare:
                removed += await remove_all(engine, (), [network.name])
    return removed
