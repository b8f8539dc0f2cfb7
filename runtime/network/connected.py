"""A run's network for as long as the run lasts: a slot, the proxy on it, and the file that names it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from runtime.containers.resolv_conf import ResolvConfs
from runtime.engine.cleanup import clean_up
from runtime.engine.host_path import host_folder
from runtime.engine.protocol import Engine
from runtime.network.slots import NetworkSlots, Slot


class RunNetwork(NamedTuple):
    """What a sandbox is told of its network."""

    slot: Slot
    resolv_conf: str
    """Of its proxy as the only name server, on the engine's host."""


class RunNetworks:
    """Makes and removes the networks of runs."""

    def __init__(
        self, engine: Engine, slots: NetworkSlots, *, proxy_container: str, resolv_confs: ResolvConfs
    ) -> None:
        self._engine = engine
        self._slots = slots
        self._resolv_confs = resolv_confs
        self._host_folder: Path | None = None
        self.proxy_container = proxy_container

    async def prepare(self) -> None:
        """Remove the files of networks that are gone, and find out where the engine's host has the others.

        Raises NotReadyError where sandboxes cannot have them, and what the engine raises.
        """
        self._resolv_confs.remove_all_but(await self._slots.proxy_addresses())
        await self._find_folder()

    @asynccontextmanager
    async def made(self, run_id: str) -> AsyncIterator[RunNetwork]:
        """A fresh network with the proxy on it, gone on the way out."""
        slot = await self._slots.acquire(run_id)
        async with self._removed(run_id, slot):
            name = self._resolv_confs.write(slot.proxy_address)
            resolv_conf = str(await self._find_folder() / name)
            await self._engine.connect(slot.network, self.proxy_container, slot.proxy_address)
            yield RunNetwork(slot, resolv_conf)

    @asynccontextmanager
    async def adopted(self, run_id: str, index: int) -> AsyncIterator[Slot]:
        """The network that an earlier daemon made for the run, gone on the way out. Raises ValueError."""
        slot = self._slots.adopt(run_id, index)
        async with self._removed(run_id, slot):
            yield slot

    async def _find_folder(self) -> Path:
        if self._host_folder is None:
            self._host_folder = await host_folder(self._engine, self._resolv_confs.folder)
        return self._host_folder

    @asynccontextmanager
    async def _removed(self, run_id: str, slot: Slot) -> AsyncIterator[None]:
        try:
            yield
        finally:
            steps = [
                partial(self._engine.disconnect, slot.network, self.proxy_container),
                # While the slot is still taken: its next network has a file of its own.
                partial(asyncio.to_thread, self._resolv_confs.remove, slot.proxy_address),
                partial(self._slots.release, slot),
            ]
            await clean_up(run_id, steps)
