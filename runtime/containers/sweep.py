"""What is left of an instance when its daemon is gone: found by label and removed."""

from __future__ import annotations

from runtime.containers import labels
from runtime.engine.protocol import Engine

PROXY_ROLE = "proxy"


async def sweep(engine: Engine, instance: str, *, with_proxy: bool) -> int:
    """Remove containers, then networks; how many. Only for an instance that no daemon runs.

    A proxy that Compose keeps is Compose's to remove. Raises EngineUnavailableError.
    """
    roles = (*labels.REAPED_ROLES, *((PROXY_ROLE,) if with_proxy else ()))
    removed = 0
    for role in roles:
        for container in await engine.containers(labels.labels(instance, role)):
            await engine.remove(container.id)
            removed += 1
    for role in roles:
        for network in await engine.networks(labels.labels(instance, role)):
            await engine.remove_network(network.name)
            removed += 1
    return removed
