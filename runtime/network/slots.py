"""Network slots: one internal /29 per sandbox, out of the daemon's pool.

    .1 the host's end of the bridge (the guard drops what comes in on it)
    .2 the proxy      .3 the sandbox

Slots are counted across all instances on the host, since subnets and bridge names are the host's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from dataclasses import dataclass

from runtime.containers import labels
from runtime.engine.protocol import Engine, NetworkSpec
from runtime.engine.uninterrupted import uninterrupted
from runtime.errors import ConflictError, NotReadyError, OrchError

BRIDGE_PREFIX = "orb"
PREFIX_LENGTH = 29
MAX_SLOTS = 1024
"""The guard lists each slot's bridge by name."""
MAX_ATTEMPTS = 16

Pool = ipaddress.IPv4Network


@dataclass(frozen=True, slots=True)
class Slot:
    """The network of one sandbox: its bridge, its subnet and the addresses on it."""

    index: int
    network: str
    bridge: str
    gateway: str
    proxy_address: str
    sandbox_address: str


def slot_count(pool: Pool) -> int:
    """How many sandboxes a pool has room for."""
    return min(MAX_SLOTS, 1 << max(0, PREFIX_LENGTH - pool.prefixlen))


def slot_at(pool: Pool, index: int, network: str) -> Slot:
    """The addresses of a slot. Raises ValueError outside the pool."""
    if not 0 <= index < slot_count(pool):
        raise ValueError(f"the pool has no slot {index}")
    first = int(pool.network_address) + index * (1 << (32 - PREFIX_LENGTH))
    gateway, proxy, sandbox = (str(ipaddress.IPv4Address(first + n)) for n in (1, 2, 3))
    return Slot(index, network, f"{BRIDGE_PREFIX}{index}", gateway, proxy, sandbox)


class NetworkSlots:
    """Hands out slots, creating and removing their networks."""

    def __init__(self, engine: Engine, *, instance: str, pool: Pool) -> None:
        self._engine = engine
        self._instance = instance
        self._pool = pool
        self._taken: set[int] = set()
        self._lock = asyncio.Lock()

    @property
    def used(self) -> int:
        """How many slots this daemon has taken."""
        return len(self._taken)

    @property
    def free(self) -> int:
        """How many of its pool are left, but for those that another daemon of the host has taken."""
        return slot_count(self._pool) - self.used

    async def acquire(self, run_id: str, *, role: str = "network") -> Slot:
        """A fresh network for one run. Raises NotReadyError when the pool is used up."""
        tried: set[int] = set()
        for _ in range(MAX_ATTEMPTS):
            async with self._lock:
                index = await self._free_index(tried)
                self._taken.add(index)
            slot = slot_at(self._pool, index, self._name(run_id))
            try:
                await self._engine.create_network(self._spec(slot, run_id, role))
            except ConflictError:  # another daemon was faster, or something else has the subnet
                self._taken.discard(index)
                tried.add(index)
            except BaseException:  # a cancelled creation may have happened
                with contextlib.suppress(OrchError):
                    await uninterrupted(self._engine.remove_network(slot.network))
                self._taken.discard(index)
                raise
            else:
                return slot
        raise NotReadyError(
            f"no free network in {self._pool}: {MAX_ATTEMPTS} slots in a row are taken by something else",
            hint="set ORCHBOX_POOL to a range that nothing on this host uses",
        )

    def adopt(self, run_id: str, index: int) -> Slot:
        """The slot that an earlier daemon took for the run. Raises ValueError outside the pool."""
        slot = slot_at(self._pool, index, self._name(run_id))
        self._taken.add(index)
        return slot

    async def release(self, slot: Slot) -> None:
        """Remove the network. Where that fails its label keeps the slot from others until it is reaped."""
        try:
            await self._engine.remove_network(slot.network)
        finally:
            self._taken.discard(slot.index)

    async def proxy_addresses(self) -> set[str]:
        """Of this instance's networks that there are, those of an earlier daemon too."""
        found: set[str] = set()
        for network in await self._engine.networks({labels.INSTANCE: self._instance, labels.SLOT: ""}):
            mark = network.labels[labels.SLOT]
            if mark.isdecimal() and int(mark) < slot_count(self._pool):
                found.add(slot_at(self._pool, int(mark), network.name).proxy_address)
        return found

    def _name(self, run_id: str) -> str:
        return f"orchbox-{self._instance}-{run_id}"

    async def _free_index(self, tried: set[int]) -> int:
        known = await self._engine.networks({labels.SLOT: ""})
        marks = [network.labels[labels.SLOT] for network in known]
        used = {int(mark) for mark in marks if mark.isdecimal()} | self._taken | tried
        for index in range(slot_count(self._pool)):
            if index not in used:
                return index
        raise NotReadyError(
            f"all {slot_count(self._pool)} networks of {self._pool} are in use",
            hint="wait for runs to end, or set ORCHBOX_POOL to a larger range",
        )

    def _spec(self, slot: Slot, run_id: str, role: str) -> NetworkSpec:
        subnet = ipaddress.ip_network(f"{slot.gateway}/{PREFIX_LENGTH}", strict=False)
        marks = {labels.RUN: run_id, labels.SLOT: str(slot.index)}
        return NetworkSpec(
            name=slot.network,
            bridge=slot.bridge,
            subnet=str(subnet),
            gateway=slot.gateway,
            is_internal=True,
            labels=labels.labels(self._instance, role, **marks),
        )
