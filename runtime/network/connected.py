"""A run's network for as long as the run lasts: a slot, and the proxy on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog

from runtime.engine.protocol import Engine
from runtime.engine.uninterrupted import uninterrupted
from runtime.network.slots import NetworkSlots, Slot


class RunNetworks:
    """Makes and removes the networks of runs."""

    def __init__(self, engine: Engine, slots: NetworkSlots, *, proxy_container: str) -> None:
        self._engine = engine
        self._slots = slots
        self.proxy_container = proxy_container
        self._log = structlog.get_logger()

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
            await uninterrupted(self._clean_up(run_id, steps))

    async def _clean_up(self, run_id: str, steps: Sequence[Callable[[], Awaitable[None]]]) -> None:
        """Every step is tried, whatever became of the one before; what fails is reaped later."""
        for step in steps:
            try:
                await step()
            except Exception as exc:  # noqa: BLE001 - the steps behind it still have to be done
                self._log.error("clean-up-failed", run=run_id, error=type(exc).__name__)
