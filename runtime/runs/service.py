"""The run service: accepts runs, answers for them, cancels them. What a run does is the driver's."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection

from proxy.contract.decision_line import DecisionLine
from proxy.policy.bindings import brokered_names
from proxy.policy.model import Policy
from runtime.audit.port import AuditPort, NoAudit
from runtime.containers import sweep
from runtime.egress.port import LinkPort
from runtime.engine.protocol import Engine, EngineInfo
from runtime.errors import (
    ConflictError,
    EngineUnavailableError,
    InvalidInputError,
    NotFoundError,
    StoppingError,
)
from runtime.keeper.ends import CANCELLED, GUARD_LOST, PROXY_LOST, Ends
from runtime.keeper.nursery import KeepersPort
from runtime.keys.live import LiveSecrets
from runtime.keys.placeholders import deliver
from runtime.keys.settle import settle, wanted
from runtime.model.reserved_names import is_reserved
from runtime.model.run import Event, Run, RunRequest, RunState, RunSummary
from runtime.model.run_query import RunPage, RunQuery
from runtime.model.secret import Secret
from runtime.network.connected import RunNetworks
from runtime.network.guard import HostGuard
from runtime.policies.digest import policy_digest
from runtime.runs.admission import Admission
from runtime.runs.adoption import Adoption
from runtime.runs.driver import RunDriver
from runtime.runs.ports import Also, LlmPort, StorePort, VaultPort
from runtime.runs.readiness import Check, Readiness
from runtime.runs.records import Records
from runtime.sandbox.head import Head
from runtime.sandbox.parcel import Parcel
from runtime.sandbox.sandbox import SandboxOrder

RESTART_S = 5.0
"""For the next daemon to be there, after this one's last run."""


class RunService:
    """Accepts, answers for and cancels runs; implements `runs.ports.RunServicePort`."""

    def __init__(  # noqa: PLR0913 - keywords, each a seam
        self,
        *,
        engine: Engine,
        link: LinkPort,
        store: StorePort,
        guard: HostGuard,
        networks: RunNetworks,
        keepers: KeepersPort,
        policies: Callable[[str], Policy],
        instance: str,
        installation: str,
        memory_percent: int,
        vault: VaultPort | None = None,
        llm: LlmPort | None = None,
        audit: AuditPort | None = None,
    ) -> None:
        self._engine = engine
        self._link = link
        self._guard = guard
        self._policies = policies
        self._instance = instance
        self._installation = installation
        self._vault = vault
        self._live = LiveSecrets()
        self._ends = Ends()
        self._admission = Admission(percent=memory_percent)
        self._audit = audit or NoAudit()
        self._records = Records(store, audit=self._audit)
        self._stops_at: float | None = None
        """When it ends what runs then, by the monotonic clock; None while it does not stop."""
        self.has_adopted = False
        """Whether runs of an earlier daemon go on: they need the proxy that they have."""
        self._readiness = Readiness(engine, link, guard, lambda: networks.proxy_container)
        self._driver = RunDriver(
            engine=engine,
            networks=networks,
            keepers=keepers,
            guard=guard,
            ends=self._ends,
            live=self._live,
            llm=llm,
            instance=instance,
        )
        self._adoption = Adoption(
            keepers,
            records=self._records,
            admission=self._admission,
            driver=self._driver,
            ends=self._ends,
            live=self._live,
        )

    # -- lifecycle -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Go on with the runs of an earlier daemon, reap what it left, listen to the proxy and the guard."""
        info = await self._engine.info()  # without an engine nothing is adopted either
        self._admission.measure(info.memory_bytes)
        self.has_adopted = await self._adoption.adopt() > 0
        try:
            await self.reap()
        except (
            EngineUnavailableError
        ):  # reaped again before the guard is proved, and no run starts until then
            if not self.has_adopted:
                raise
        await self._records.start()
        self._link.on_lost = lambda: self._ends.end_all(PROXY_LOST)
        self._guard.on_lost = lambda: self._ends.end_all(GUARD_LOST)

    async def reap(self) -> None:
        """Remove this installation's sandboxes, helpers and networks that no running task owns."""
        await sweep.reap(self._engine, self._instance, installation=self._installation, spare=self._ends)

    def refuse_runs(self, *, patience_s: float) -> None:
        """From now on no run begins; those that there are have so long."""
        self._stops_at = time.monotonic() + patience_s

    async def until_idle(self) -> None:
        """Return once no run is left."""
        await self._ends.until_none()

    async def end_runs(self) -> None:
        """End every run and wait for its clean-up."""
        await self._ends.close()

    async def close(self) -> None:
        """End every run and what records them."""
        await self.end_runs()
        await self._records.close()

    @property
    def records(self) -> Records:
        """What is known and counted of runs."""
        return self._records

    @property
    def admission(self) -> Admission:
        """Who works and who waits."""
        return self._admission

    async def checks(self) -> list[Check]:
        """The engine, the proxy and the guard; a run may start when all of them are ok.

        A daemon that stops is one more, which is not.
        """
        checks = await self._readiness.checks()
        if self._stops_at is not None:
            stops = Check("daemon", is_ok=False, detail="it stops", remedy="orch up, once it has ended")
            checks.append(stops)
        return checks

    # -- runs ----------------------------------------------------------------------------------

    async def create(self, request: RunRequest, also: Also | None = None) -> Run:
        """Start a run in the background; everything that can be refused at once is refused here."""
        self._require_going_on()
        check_names(request)
        engine = await self._readiness.require()
        # In a thread: a `registry:` rule asks pip or npm for its configuration.
        policy = await asyncio.to_thread(self._policies, request.policy_name)
        run_id = str(uuid.uuid4())
        loaded = {"policy": policy.name, "sha256": policy_digest(policy)}
        self._audit.note("policy.load", who=f"run:{run_id}", data=loaded)
        if await self._engine.image_id(request.image) is None:
            raise NotFoundError(f"no such image: {request.image}", hint="make images")
        if request.isolation.value not in engine.runtimes:
            raise InvalidInputError(
                f"the engine has no runtime {request.isolation.value}", hint="orch doctor says how to add it"
            )
        try:
            return await self._begin(await self._order(run_id, request, policy, engine), also)
        except BaseException:
            self._live.forget(run_id)
            raise

    def _require_going_on(self) -> None:
        """Raise StoppingError, with when to come again, where the daemon ends."""
        if self._stops_at is not None:
            left_s = max(0.0, self._stops_at - time.monotonic())
            raise StoppingError("the daemon stops, and takes no more runs", retry_after_s=left_s + RESTART_S)

    async def _order(
        self, run_id: str, request: RunRequest, policy: Policy, engine: EngineInfo
    ) -> SandboxOrder:
        """What the sandbox is made of. Raises InvalidInputError for a secret that cannot be delivered."""
        request, parcel = Parcel.out_of(await self._settle(run_id, request))
        Head.of(request, parcel).check(request.secrets, policy.upstream_ca_pem or "")
        delivered = deliver(request.secrets, brokered_names(policy))
        return SandboxOrder(run_id, request, parcel, policy, delivered, engine)

    async def _settle(self, run_id: str, request: RunRequest) -> RunRequest:
        """With the secrets that the caller left to the workspace's vault."""
        asked = wanted(request.needs) - request.secrets.keys()
        stored: dict[str, Secret] = {}
        if asked and self._vault is not None:
            self._live.watch(run_id, request.workspace, asked)
            stored = await self._vault.read(
                request.workspace, sorted(asked), run_id=run_id, reader=request.agent_ref
            )
        settled = settle(request.needs, request.secrets, stored, workspace=request.workspace)
        return dataclasses.replace(request, secrets=settled.secrets, env={**request.env, **settled.env})

    async def _begin(self, order: SandboxOrder, also: Also | None) -> Run:
        run = Run(
            id=order.run_id,
            agent_ref=order.request.agent_ref,
            policy_name=order.request.policy_name,
            workspace=order.request.workspace,
            labels=order.request.labels,
            isolation=order.request.isolation,
            state=RunState.QUEUED,
            created_at=time.time(),
        )
        self._require_going_on()  # since it was asked for, much was waited for
        ticket = self._admission.queue(
            memory_bytes=order.request.limits.memory_bytes,
            payload_bytes=order.parcel.held_bytes,
            host_bytes=order.engine.memory_bytes,
        )
        try:
            record = await self._records.open(run, also)
        except BaseException:
            ticket.leave()
            raise
        self._ends.watch(run.id, asyncio.create_task(self._driver.drive(order, record, ticket)))
        return run

    async def secret_changed(self, workspace: Collection[str], name: str, value: Secret | None) -> None:
        """Renew the grants of the sandboxes that have it from the vault; returns once they are enforced."""
        await self._live.changed(workspace, name, value)

    async def get(self, run_id: str) -> Run:
        """A run's record. Raises NotFoundError."""
        return await self._records.get(run_id)

    async def find(self, ref: str, workspace: str | None = None) -> RunSummary:
        """A run by its id or seven digits of it, among those of one workspace or of all.

        Raises NotFoundError, and InvalidInputError where several ids begin so.
        """
        return await self._records.find(ref, workspace)

    async def page(self, query: RunQuery) -> RunPage:
        """A page of a list of runs, the newest first."""
        return await self._records.page(query)

    async def cancel(self, run_id: str) -> Run:
        """End a run and wait for its clean-up. Raises NotFoundError, ConflictError where it has ended."""
        run = await self.get(run_id)
        if run_id not in self._ends:
            raise ConflictError(f"run {run_id} has ended ({run.state.value})")
        self._ends.end(run_id, CANCELLED)
        await self._ends.wait(run_id)
        return await self.get(run_id)

    async def ended(self, run_id: str) -> None:
        """Wait for the end of a run."""
        await self._records.ended(run_id)

    async def goes_on(self, run_id: str, after: int) -> bool:
        """Whether there is an event behind `after`, or will be. Raises GoneError."""
        return self._records.goes_on(run_id, after)

    def events(self, run_id: str, after: int = 0) -> AsyncIterator[Event]:
        """Replay the events behind `after`, then follow until the run has ended. Raises NotFoundError."""
        return self._records.events(run_id, after)

    async def decisions(self, run_id: str) -> list[DecisionLine]:
        """The proxy's decisions on this run. Raises NotFoundError."""
        return await self._records.decisions(run_id)


def check_names(request: RunRequest) -> None:
    """Refuse variables that are the sandbox's own. Raises InvalidInputError naming them."""
    names = {*request.env, *request.secrets, *wanted(request.needs)}
    if reserved := sorted(name for name in names if is_reserved(name)):
        raise InvalidInputError(
            f"{', '.join(reserved[:5])}: no run may set this in a sandbox, where it decides which code is"
            " loaded, whom clients trust or which way they go out",
            hint="give the secret or variable another name, in the agent's manifest too",
        )
