"""The host guard: what Docker's internal networks leave open, closed with nftables and then proved.

An internal network still has the host at its gateway address: a service on 0.0.0.0 answers there, and at
the host's other addresses (measured, engine 20.10). The guard drops whatever comes in on an `orb*`
bridge for the host, and whatever would be forwarded between one and anything else. It is installed by a
one-shot container with host networking, so the Docker API is all it needs.

From then on the table is watched (`watch.py`), and what was proved counts only while it is unchanged.

The proof (`proof.py`) is a real container on a real `orb*` network that tries to reach a listener
opened on the host, over IPv4 and IPv6; it counts only if the listener is reachable from the host itself
and the container reaches its neighbours.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import structlog

from proxy.contract.messages import EXPLICIT_PORT
from runtime.containers import labels
from runtime.containers.helper import helper_config, run_helper, started
from runtime.engine.protocol import Attached, ContainerConfig, Engine, has_isolated_gateways
from runtime.engine.uninterrupted import uninterrupted
from runtime.errors import OrchError
from runtime.network.proof import GuardStatus, behind_the_host, judge, listener_argv, neighbour_argv, plan
from runtime.network.rules import INSTALL, TABLE, rules
from runtime.network.slots import MAX_SLOTS, NetworkSlots
from runtime.network.watch import GuardWatch, watcher_argv

PROOF_TIMEOUT_S = 60.0
RETRY_S = 0.5
RETRY_MAX_S = 10.0
MAX_FAILURES = 3
"""Attempts in a row that came to no proof, an engine that was busy say; a proof that finds a way out is as
many at once."""


type Listening = Callable[[str], AbstractAsyncContextManager[None]]


class HostGuard:
    """Installs the guard and proves it."""

    def __init__(
        self,
        engine: Engine,
        slots: NetworkSlots,
        *,
        instance: str,
        image: str,
        listening: Listening,
        slot_count: int = MAX_SLOTS,
    ) -> None:
        """`listening` has the proxy listen on one of its addresses while it is entered."""
        self._engine = engine
        self._slots = slots
        self._instance = instance
        self._name = f"orchbox-{instance}-proof"
        self._image = image
        self._listening = listening
        # The table is the host's: it must hold for the slots of every daemon, not only for our pool's.
        self._slot_count = max(slot_count, MAX_SLOTS)
        self.status = GuardStatus()
        self.lost = asyncio.Event()
        """Set while nothing is proved and nobody is at it."""
        self.lost.set()
        self.on_lost: Callable[[], None] = lambda: None
        """Called when what was proved no longer holds: whatever runs now may reach the host."""
        self.losses = 0
        """How often what was proved was lost."""
        self._failures = 0
        self._watch: GuardWatch | None = None
        self._log = structlog.get_logger()

    async def establish(self, proxy: str, proxy_port: int = EXPLICIT_PORT) -> GuardStatus:
        """Install, watch, prove. Never raises: a failure is a status that keeps runs from starting."""
        self.status = GuardStatus(detail="the guard is being proved")
        self.lost.clear()
        status: GuardStatus
        try:
            await self._stop_watching()
            digest, ipv6 = await self._install()
            await self._start_watching(digest)
            status = await self._prove(proxy, proxy_port, ipv6=ipv6)
            self._failures = 0 if status.is_proved else MAX_FAILURES
        except Exception as exc:  # noqa: BLE001 - whatever it is, nothing is proved
            status = _why_not("the guard could not be proved", exc)
            self._failures += 1
        if not status.is_proved:
            await self._stop_watching()
        if not self.lost.is_set():  # a change during the proof has spoken already
            self.status = status
        if not self.status.is_proved:
            self.lost.set()
        self._log.info("guard", is_proved=self.status.is_proved, detail=self.status.detail)
        return self.status

    def fail(self, detail: str, *, remedy: str | None = None) -> None:
        """What came before the proof failed."""
        self.status = GuardStatus(detail=detail, remedy=remedy)

    async def keep(self, proxy: Callable[[], str], reap: Callable[[], Awaitable[None]]) -> None:
        """Prove it, and put it back and prove it again whenever it is lost. Ends by cancellation only.

        `reap` removes what ended runs could not, since the engine was away: a sandbox that ran on without
        the guard must be gone before the next one starts.
        """
        delay = 0.0
        while True:
            await self.lost.wait()
            await asyncio.sleep(delay)
            try:
                await reap()
            except Exception as exc:  # noqa: BLE001 - whatever it is, something may be left
                self.status = _why_not("what an earlier run left cannot be removed", exc)
                self._failures += 1
            else:
                await self.establish(proxy())
            if self._failures >= MAX_FAILURES:
                self.on_lost()  # nothing holds what an earlier daemon began
            delay = RETRY_S if self.status.is_proved else min(max(delay, RETRY_S) * 2, RETRY_MAX_S)

    async def close(self) -> None:
        """Stop watching; the rules stay, for whatever still runs on this host."""
        await self._stop_watching()

    async def _start_watching(self, digest: str) -> None:
        argv = watcher_argv(TABLE)
        marks = labels.labels(self._instance, "helper")
        config = helper_config(self._image, argv, labels=marks, network="host", needs_net_admin=True)
        name = f"orchbox-{self._instance}-watch"
        self._watch = GuardWatch(self._engine, config, name=name, on_lost=self._on_change)
        await self._watch.start(digest)

    async def _stop_watching(self) -> None:
        if self._watch is not None:
            await self._watch.close()
            self._watch = None

    def _on_change(self, why: str) -> None:
        self.status = GuardStatus(detail=f"{why}; it is being put back and proved again")
        self.lost.set()
        self.losses += 1
        self._log.error("guard-lost", detail=why)
        self.on_lost()

    async def _install(self) -> tuple[str, bool]:
        """Load the rules; their digest, and whether the host's kernel has IPv6."""
        argv = ["sh", "-c", INSTALL, rules(self._slot_count), TABLE]
        marks = labels.labels(self._instance, "helper")
        config = helper_config(self._image, argv, labels=marks, network="host", needs_net_admin=True)
        result = await run_helper(self._engine, config, name=f"orchbox-{self._instance}-nft")
        if result.code != 0:
            raise OrchError(f"nftables refused the guard's rules: {result.stderr.strip()[:300]}")
        digest, *more = result.stdout.split() or [""]
        return digest, "ipv6" in more

    async def _prove(self, proxy: str, proxy_port: int, *, ipv6: bool) -> GuardStatus:
        slot = await self._slots.acquire(f"proof-{uuid.uuid4().hex[:8]}")
        try:
            await self._engine.connect(slot.network, proxy, slot.proxy_address)
            sandboxes = {network.name for network in await self._engine.networks({labels.SLOT: ""})}
            behind = behind_the_host(await self._engine.inspect(proxy), sandboxes, proxy_port)
            async with asyncio.timeout(PROOF_TIMEOUT_S), AsyncExitStack() as stack:
                for address in (slot.proxy_address, *(address for address, _ in behind)):
                    await stack.enter_async_context(self._listening(address))
                listener = self._config(listener_argv(slot.bridge, behind), "host")
                neighbour = self._config(neighbour_argv(), slot.network, slot.sandbox_address, ipv6=ipv6)
                streams = [await self._start(stack, config) for config in (listener, neighbour)]
                said = await asyncio.gather(*(_first_line(attached) for attached in streams))
                isolated = has_isolated_gateways((await self._engine.info()).version)
                attempt = plan(*said, slot=slot, proxy_port=proxy_port, is_isolated=isolated)
                probe = self._config(attempt.argv(), slot.network, ipv6=ipv6)
                result = await run_helper(self._engine, probe, name=self._name)
                return judge(attempt, result.stdout)
        finally:
            await uninterrupted(self._slots.release(slot))

    def _config(
        self, argv: list[str], network: str, address: str | None = None, *, ipv6: bool = False
    ) -> ContainerConfig:
        marks = labels.labels(self._instance, "probe")
        return helper_config(self._image, argv, labels=marks, network=network, address=address, ipv6=ipv6)

    async def _start(self, stack: AsyncExitStack, config: ContainerConfig) -> Attached:
        _, attached = await stack.enter_async_context(started(self._engine, config, name=self._name))
        return attached


def _why_not(what: str, exc: Exception) -> GuardStatus:
    said = str(exc) if isinstance(exc, (OrchError, ValueError)) else type(exc).__name__
    return GuardStatus(detail=f"{what}: {said}", remedy=exc.hint if isinstance(exc, OrchError) else None)


async def _first_line(attached: Attached) -> str:
    """What a proof's container says first; its end where it ends without."""
    said = b""
    async for _, data in attached.output():
        said += data
        if said.endswith(b"\n"):
            break
    return said.decode(errors="replace")
