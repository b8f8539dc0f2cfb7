"""A run's network for as long as the run lasts: a slot, and the proxy on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from runtime.engine.cleanup import clean_up
from runtime.engine.protocol import Engine
from runtime.network.slots import NetworkSlots, Slot


class RunNetworks:
    """Makes and removes the networks of runs."""

    def __init__(self, engine: Engine, slots: NetworkSlots, *, proxy_container: str) -> None:
        self._engine = engine
        self._slots = slots
        self.proxy_container = proxy_container

    @asynccontextmanager
    async def made(self, run_id: str) -> AsyncIterator[Slot]:
        """A fresh network with the proxy on it, gone on the way out."""
        slot = await self._slots.acquire(run_id)
        async with self._removed(run_id, slot):
            await self._engine.connect(slot.network, self.proxy_container, slot.proxy_address)
            yield slot

    @asynccontextmanager
    async def adopted(self, run_id: str, index: int) -> AsyncIterator[Slot]:
        """The network that an earlier daemon made for the run, gone on the way out. Raises ValueError."""
        slot = self._slots.adopt(run_id, index)
        async with self._removed(run_id, slot):
            yield slot

    @asynccontextmanager
    async def _removed(self, run_id: str, slot: Slot) -> AsyncIterator[None]:
        try:
            yield
        finally:
            steps = [
                partial(self._engine.disconnect, slot.network, self.proxy_container),
                partial(self._slots.release, slot),
            ]
            await clean_up(run_id, steps)
