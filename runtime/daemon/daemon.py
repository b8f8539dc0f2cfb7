"""`orch up`: wires settings to engine, proxy, guard, store, service and API, and serves."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
from collections.abc import Awaitable, Callable

import structlog

from proxy.contract.messages import CONTROL_SOCKET, LLM_SOCKET
from runtime.access.service import Tokens
from runtime.audit.files import AuditFolder
from runtime.audit.log import AuditLog
from runtime.containers.foreign import find_foreign
from runtime.containers.resolv_conf import ResolvConfs
from runtime.daemon import installation
from runtime.daemon.parts import Parts
from runtime.daemon.settings import Settings
from runtime.database.connection import open_database
from runtime.egress.link import ProxyLink
from runtime.egress.supervisor import ProxySupervisor
from runtime.engine.docker import DockerEngine
from runtime.errors import NotReadyError, OrchError
from runtime.idempotency import hash_key
from runtime.idempotency.service import Retries
from runtime.keeper.nursery import Nursery
from runtime.keeper.process import KeeperSettings
from runtime.llm.door import LlmRoutes
from runtime.llm.serve import LlmServer
from runtime.llm.session import LlmSessions
from runtime.network.connected import RunNetworks
from runtime.network.guard import HostGuard
from runtime.network.nearby import Network, networks_of
from runtime.network.slots import NetworkSlots, slot_count
from runtime.policies.catalogue import PolicyCatalogue
from runtime.runs.retention import Retention
from runtime.runs.service import RunService
from runtime.runs.store import Store
from runtime.vault.service import Vault
from runtime.version import VERSION

PROXY_START_TIMEOUT_S = 30.0
PROXY_RETRY_S = 1.0
PREPARE_RETRY_S = 5.0
PROXY_AWAY_S = 5.0
"""How long a managed proxy may be gone before it is made anew; a restart by the engine is faster."""


class Daemon:
    """Wires one daemon's parts together, starts them and closes them."""

    def __init__(self, settings: Settings, *, owner: str | None = None) -> None:
        """`owner` is the process (`runtime.containers.owner`) with whose end all of this is a leftover."""
        self._settings = settings
        instance = settings.instance
        self._installation = installation.identify(settings)
        marks = installation.marks(settings, self._installation)
        engine = self._engine = DockerEngine(marks=marks)
        self._database = open_database(settings.database, default=settings.home / "orchbox.sqlite3")
        self._store = Store(self._database, owner=self._installation)
        self.audit = AuditLog.open(AuditFolder.of(settings.home, instance), self._installation)
        self.vault = Vault(self._database, settings.vault_keys)
        self.vault.chain = self.audit
        self.tokens = Tokens(self._database)
        self.retries = Retries(self._database, hash_key.make_or_read(settings.home / "idempotency.key"))
        self.retention = Retention(self._store, self.vault, self.audit, settings.keep, self.retries)
        self.policies = PolicyCatalogue(settings.policy_dirs, site=settings.site_policy)
        self._link = ProxyLink(settings.control_dir / CONTROL_SOCKET)
        slots = self._slots = NetworkSlots(engine, instance=instance, pool=settings.pool)
        self._guard = HostGuard(
            engine,
            slots,
            instance=instance,
            image=settings.image("daemon"),
            listening=self._link.listening,
        )
        self.supervisor = ProxySupervisor(
            engine,
            instance=instance,
            image=settings.image("proxy"),
            control_dir=settings.control_dir,
            dns=settings.proxy_dns,
            slots=slot_count(settings.pool),
            installation=self._installation,
            owner=owner,
        )
        self._networks = RunNetworks(
            engine,
            slots,
            proxy_container=self.supervisor.container,
            resolv_confs=ResolvConfs(settings.resolv_dir),
        )
        self._keepers = Nursery(
            KeeperSettings(
                home=settings.keepers_dir,
                control_socket=settings.control_dir / CONTROL_SOCKET,
                marks=marks,
                grace_s=settings.adopt_s,
            ),
            is_quiet=owner is not None,
        )
        sessions = LlmSessions()
        self._llm = LlmServer(settings.control_dir / LLM_SOCKET, sessions)
        self.service = RunService(
            engine=engine,
            link=self._link,
            store=self._store,
            guard=self._guard,
            networks=self._networks,
            keepers=self._keepers,
            policies=self.policies,
            instance=instance,
            installation=self._installation,
            memory_percent=settings.memory_percent,
            vault=self.vault,
            llm=LlmRoutes(sessions),
            audit=self.audit,
        )
        self.vault.on_change = self.service.secret_changed
        self._background: list[asyncio.Task[None]] = []
        self._proxy_networks: list[Network] | None = None
        self._has_started = False
        self._is_proxy_kept = False
        """Whether the proxy that there is may serve: once, since it may be broken."""
        self._log = structlog.get_logger()

    async def start(self) -> None:
        """Reap, then prepare in the background: the API answers at once, runs are refused until ready.

        Raises EngineUnavailableError without an engine, ConflictError where another installation has the
        instance's name: nothing of it is touched.
        """
        for foreign in await find_foreign(self._engine, self._settings.instance, self._installation):
            raise foreign.refusal("the daemon was not started")
        await self.audit.add("daemon.start", who="daemon", data={"version": VERSION, "pid": os.getpid()})
        await self._keepers.start()
        await self.service.start()
        await self.open_vault()
        self._background = [
            asyncio.create_task(self._prepare()),
            asyncio.create_task(self.retention.keep()),
        ]
        self._has_started = True

    async def close(self) -> None:
        """End the runs and remove what was made; every step is tried."""
        steps: list[Callable[[], Awaitable[None]]] = [
            self._stop_background,
            self.service.close,
            self._keepers.close,
            self._llm.close,
            self._guard.close,
            self._link.close,
        ]
        if self._settings.proxy_mode == "managed" and self._has_started:
            steps.append(self.supervisor.remove)  # else it is an earlier daemon's, and runs may go on with it
        for step in (*steps, self._engine.close, self._database.close, self._close_audit):
            try:
                await step()
            except OrchError as exc:
                self._log.error("not-closed", detail=exc.message)
            except Exception as exc:  # noqa: BLE001 - the next step must be tried
                self._log.error("not-closed", error=type(exc).__name__)

    @property
    def parts(self) -> Parts:
        """What its metrics are read from."""
        return Parts(
            self.service,
            self._slots,
            self._keepers,
            self._link,
            self._guard,
            self.vault,
            self._database,
        )

    def is_sandboxed(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        """Whether a peer of the API is where sandboxes or their proxy are, or may be.

        Nobody knows before the proxy has been found.
        """
        if self._proxy_networks is None:
            return not address.is_loopback
        return any(address in network for network in (self._settings.pool, *self._proxy_networks))

    async def open_vault(self) -> None:
        """A vault that stays shut keeps nobody from running agents that need nothing of it."""
        try:
            await self.vault.prepare()
        except OrchError as exc:
            self._log.error("vault-shut", detail=exc.message, hint=exc.hint)

    async def _close_audit(self) -> None:
        if self._has_started:
            self.audit.note("daemon.stop", who="daemon", data={"pid": os.getpid()})
        await self.audit.close()

    async def _stop_background(self) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _prepare(self) -> None:
        """Proxy, then guard, each kept from then on; no run starts until both are there."""
        self._is_proxy_kept = self.service.has_adopted
        await self._link.start()
        await self._await_proxy()
        keeping = [self._guard.keep(lambda: self._networks.proxy_container, self.service.reap)]
        if self._settings.proxy_mode == "managed":
            keeping.append(self._keep_proxy())
        await asyncio.gather(*keeping)

    async def _await_proxy(self) -> None:
        while True:
            try:
                await self._networks.prepare()
                self._networks.proxy_container = await self._find_proxy()
                self._proxy_networks = await networks_of(self._engine, self._networks.proxy_container)
                await self._link.wait_connected(PROXY_START_TIMEOUT_S)
                await self._llm.start()  # in the folder that the proxy's start has made
            except OrchError as exc:
                self._guard.fail(exc.message, remedy=exc.hint)
                self._log.error("not-ready", detail=exc.message, hint=exc.hint)
            except Exception as exc:  # noqa: BLE001 - whatever it is, nothing is proved
                self._guard.fail(f"the daemon could not prepare itself ({type(exc).__name__})")
                self._log.error("not-ready", error=type(exc).__name__)
            else:
                return
            await asyncio.sleep(PREPARE_RETRY_S)

    async def _keep_proxy(self) -> None:
        """Make the proxy anew when it stays away: the engine leaves one alone that was killed by hand."""
        while True:
            await asyncio.sleep(PROXY_RETRY_S)
            if self._link.is_connected:
                continue
            try:
                await self._link.wait_connected(PROXY_AWAY_S)
            except NotReadyError:
                self._log.error("proxy-replaced")
                with contextlib.suppress(OrchError):  # tried again: no run starts meanwhile
                    await self.supervisor.ensure()
                    await self._link.wait_connected(PROXY_START_TIMEOUT_S)

    async def _find_proxy(self) -> str:
        """The proxy's container: ours, made now, or the one that Compose starts in its own time."""
        if self._settings.proxy_mode == "managed":
            is_kept, self._is_proxy_kept = self._is_proxy_kept, False
            return await self.supervisor.ensure(is_kept=is_kept)
        while True:
            try:
                return await self.supervisor.find()
            except NotReadyError as exc:
                self._guard.fail(exc.message)
                await asyncio.sleep(PROXY_RETRY_S)
