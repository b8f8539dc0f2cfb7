"""The run service: accepts runs, drives each to its end, records it, reaps what a dead daemon left."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from typing import Any

import structlog

from proxy.contract.decision_line import DecisionLine
from proxy.policy.bindings import brokered_names
from proxy.policy.model import Policy
from runtime.containers import labels
from runtime.egress.port import LinkPort
from runtime.engine.protocol import Engine, ExitStatus
from runtime.engine.uninterrupted import uninterrupted
from runtime.errors import ConflictError, InvalidInputError, NotFoundError, NotReadyError, OrchError
from runtime.keys.live import LiveSecrets
from runtime.keys.placeholders import deliver
from runtime.keys.redactor import Redactor
from runtime.keys.settle import settle, wanted
from runtime.model.run import Event, Run, RunError, RunRequest, RunState
from runtime.model.sandbox_id import run_id_of
from runtime.model.secret import Secret
from runtime.network.guard import HostGuard
from runtime.runs.journal import Journal, Journals
from runtime.runs.ports import Check, LlmPort, StorePort, VaultPort
from runtime.sandbox.conversation import converse, init_message
from runtime.sandbox.maker import Sandbox, SandboxMaker
from runtime.sandbox.outcome import classify_exit, parse_result
from runtime.sandbox.output import Output

PROXY_LOST = RunError(
    "PROXY_LOST", "the egress proxy went away while the agent ran: it had no way out any more and was stopped"
)
GUARD_LOST = RunError(
    "GUARD_LOST", "the host guard was changed or removed while the agent ran, so the agent was stopped"
)
NETWORK_CHANGED = RunError(
    "NETWORK_CHANGED", "the sandbox was connected to another network while the agent ran, so it was stopped"
)
NETWORK_UNKNOWN = RunError(
    "NETWORK_CHANGED", "the engine did not say which networks the sandbox was on, so it was stopped"
)
GUARD_REMEDY = "wait: it is put back and proved again by itself; orch doctor tells when"
NETWORK_CHECK_S = 3.0
"""How often a running sandbox is looked at: it belongs on its own network, and on no other."""
KILLED_S = 10.0
"""For the streams to end after SIGKILL; the container is removed in any case."""
CANCELLED = RunError("CANCELLED", "the run was cancelled")


class RunService:
    """Implements `ports.RunServicePort`."""

    def __init__(  # noqa: PLR0913 - keywords, each a seam
        self,
        *,
        engine: Engine,
        link: LinkPort,
        store: StorePort,
        guard: HostGuard,
        maker: SandboxMaker,
        policies: Callable[[str], Policy],
        instance: str,
        vault: VaultPort | None = None,
        llm: LlmPort | None = None,
    ) -> None:
        self._llm = llm
        self._vault = vault
        self._live = LiveSecrets()
        self._engine = engine
        self._link = link
        self._store = store
        self._guard = guard
        self._maker = maker
        self._policies = policies
        self._instance = instance
        self._journals = Journals()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, RunError] = {}
        """Why a running task was cancelled from outside."""
        self._cancellable: set[str] = set()
        """Runs whose task is between its first step and its end; any other only takes note."""
        self._writes: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger()

    # -- lifecycle -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Reap what an earlier daemon of this instance left, then listen to the proxy."""
        await self.reap()
        await self._store.fail_unfinished("the daemon ended while the agent ran")
        self._link.on_decision = self._on_decision
        self._link.on_lost = lambda: self._end_all(PROXY_LOST)
        self._guard.on_lost = lambda: self._end_all(GUARD_LOST)

    async def reap(self) -> None:
        """Remove this instance's sandboxes, helpers and networks that no running task owns."""
        for role in ("sandbox", "probe", "helper"):
            for container in await self._engine.containers(labels.labels(self._instance, role)):
                if container.labels.get(labels.RUN) not in self._tasks:
                    await self._engine.remove(container.id)
        for network in await self._engine.networks(labels.labels(self._instance, "network")):
            if network.labels.get(labels.RUN) not in self._tasks:
                await self._engine.remove_network(network.name)

    async def close(self) -> None:
        """End every run and wait for its clean-up."""
        for run_id in list(self._tasks):
            self._end(run_id, RunError("CANCELLED", "the daemon was stopped"))
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await asyncio.gather(*self._writes, return_exceptions=True)

    async def checks(self) -> list[Check]:
        """Engine, proxy, guard."""
        try:
            info = await self._engine.info()
            engine = Check("engine", is_ok=True, detail=f"Docker {info.version}")
        except OrchError as exc:
            engine = Check("engine", is_ok=False, detail=exc.message, remedy="start Docker (dockerd)")
        connected = self._link.is_connected
        detail = "connected" if connected else "does not answer on its control socket"
        proxy = Check(
            "proxy", connected, detail, None if connected else "docker logs " + self._maker.proxy_container
        )
        status = self._guard.status
        guard = Check(
            "guard",
            status.is_proved,
            status.detail,
            None if status.is_proved else status.remedy or GUARD_REMEDY,
        )
        return [engine, proxy, guard]

    # -- runs ----------------------------------------------------------------------------------

    async def create(self, request: RunRequest) -> Run:
        """Start a run in the background; everything that can be refused at once is refused here."""
        for check in await self.checks():
            if not check.is_ok:
                raise NotReadyError(f"{check.name}: {check.detail}", hint=check.remedy or "orch doctor")
        # In a thread: a `registry:` rule asks pip or npm for its configuration.
        policy = await asyncio.to_thread(self._policies, request.policy_name)
        if await self._engine.image_id(request.image) is None:
            raise NotFoundError(f"no such image: {request.image}", hint="make images")
        if request.isolation.value not in (await self._engine.info()).runtimes:
            raise InvalidInputError(
                f"the engine has no runtime {request.isolation.value}", hint="orch doctor says how to add it"
            )
        run_id = str(uuid.uuid4())
        try:
            return await self._begin(run_id, request, policy)
        except BaseException:
            self._live.forget(run_id)
            raise

    async def _begin(self, run_id: str, request: RunRequest, policy: Policy) -> Run:
        request = await self._settle(run_id, request)
        deliver(request.secrets, brokered_names(policy))  # what could not be delivered is refused now
        run = Run(
            id=run_id,
            agent_ref=request.agent_ref,
            policy_name=request.policy_name,
            isolation=request.isolation,
            state=RunState.QUEUED,
            created_at=time.time(),
        )
        await self._store.create(run)
        journal = self._journals.open(run.id)
        await journal.add("state", {"state": run.state.value})
        self._tasks[run.id] = asyncio.create_task(self._drive(run, request, policy, journal))
        return run

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

    async def secret_changed(self, workspace: Collection[str], name: str, value: Secret | None) -> None:
        """Renew the grants of the sandboxes that have it from the vault; returns once they are enforced."""
        await self._live.changed(workspace, name, value)

    async def get(self, run_id: str) -> Run:
        """A run's record."""
        run = await self._store.get(run_id)
        if run is None:
            raise NotFoundError(f"no run {run_id}", hint="orch runs")
        return run

    async def recent(self, limit: int = 20) -> list[Run]:
        """The newest runs first."""
        return await self._store.recent(limit)

    async def cancel(self, run_id: str) -> Run:
        """End a run and wait until it is cleaned up."""
        run = await self.get(run_id)
        task = self._tasks.get(run_id)
        if task is None:
            raise ConflictError(f"run {run_id} has ended ({run.state.value})")
        self._end(run_id, CANCELLED)
        await asyncio.gather(task, return_exceptions=True)
        return await self.get(run_id)

    async def events(self, run_id: str, after: int = 0) -> AsyncIterator[Event]:
        """Replay and follow; a run whose events are no longer kept gives its end only."""
        journal = self._journals.get(run_id)
        if journal is not None:
            async for event in journal.follow(after):
                yield event
            return
        run = await self.get(run_id)
        yield Event(1, "state", {"state": run.state.value}, run.finished_at or run.created_at)

    async def decisions(self, run_id: str) -> list[DecisionLine]:
        """The proxy's decisions on this run."""
        await self.get(run_id)
        return await self._store.decisions(run_id)

    # -- one run -------------------------------------------------------------------------------

    async def _drive(self, run: Run, request: RunRequest, policy: Policy, journal: Journal) -> None:
        """From queued to final; never raises."""
        redact = Redactor(secret.reveal() for secret in request.secrets.values())
        output = Output(redact, stdout_bytes=request.limits.output_bytes, log_bytes=request.limits.log_bytes)
        try:
            self._cancellable.add(run.id)
            if run.id in self._ends:  # ended before the task's first step, which cancel() would have skipped
                raise asyncio.CancelledError  # noqa: TRY301
            run = await self._set(run, journal, RunState.STARTING)
            policy = self._open_llm(run.id, request, policy, journal)
            async with self._maker.sandbox(run.id, request, policy) as sandbox:
                if not self._guard.status.is_proved:  # lost since the run was asked for
                    self._ends.setdefault(run.id, GUARD_LOST)
                    raise asyncio.CancelledError  # noqa: TRY301
                run = await self._set(run, journal, RunState.RUNNING, started_at=time.time())
                run = await self._converse(run, request, sandbox, output, journal)
        except asyncio.CancelledError:
            error = self._ends.get(run.id, CANCELLED)
            state = RunState.CANCELLED if error.code == "CANCELLED" else RunState.FAILED
            run = dataclasses.replace(run, state=state, error=error)
        except OrchError as exc:
            error = RunError("INTERNAL_ERROR", redact(exc.message))
            run = dataclasses.replace(run, state=RunState.FAILED, error=error)
        except Exception as exc:  # noqa: BLE001 - a run always reaches a final state
            self._log.error("run-failed", run=run.id, error=type(exc).__name__)
            error = RunError("INTERNAL_ERROR", "the runner failed; its log names the run")
            run = dataclasses.replace(run, state=RunState.FAILED, error=error)
        self._cancellable.discard(run.id)
        await uninterrupted(self._finish(run, output, journal))

    def _open_llm(self, run_id: str, request: RunRequest, policy: Policy, journal: Journal) -> Policy:
        """The policy with the LLM router in it, for an agent that has a chain."""

        def on_event(kind: str, data: dict[str, object]) -> None:
            self._write(journal.add(kind, data))

        return policy if self._llm is None else self._llm.open(run_id, request, policy, on_event)

    async def _converse(
        self, run: Run, request: RunRequest, sandbox: Sandbox, output: Output, journal: Journal
    ) -> Run:
        output.redact.add(sandbox.proxy_token.reveal())

        async def renew(name: str, value: Secret | None) -> None:
            if value is not None:
                output.redact.add(value.reveal())
            if self._llm is not None:
                self._llm.replace_secret(run.id, name, value)
            await sandbox.granted.replace_secret(name, value)

        await self._live.attach(run.id, renew)

        async def on_log(text: str) -> None:
            await journal.add("log", {"text": text})

        message = init_message(request, sandbox.secrets, sandbox.environment, sandbox.ca_pem)
        limits = request.limits
        talking = asyncio.create_task(converse(self._engine, sandbox, message, output, on_log))
        minding = asyncio.create_task(self._mind_network(run.id, sandbox))
        try:
            status = await asyncio.wait_for(asyncio.shield(talking), limits.timeout_s)
        except TimeoutError:
            await self._stop(sandbox, talking, limits.grace_s)
            error = RunError("SANDBOX_TIMEOUT", f"the agent was stopped after its {limits.timeout_s:g} s")
            return dataclasses.replace(run, state=RunState.TIMEOUT, error=error)
        except asyncio.CancelledError:
            is_open = self._ends.get(run.id) in (GUARD_LOST, NETWORK_CHANGED, NETWORK_UNKNOWN)
            with contextlib.suppress(OrchError):  # an engine that is away: reaped when it is back
                await uninterrupted(self._stop(sandbox, talking, 0.0 if is_open else limits.grace_s))
            raise
        finally:
            minding.cancel()
        return self._judge(run, request, status, output)

    async def _mind_network(self, run_id: str, sandbox: Sandbox) -> None:
        """End the run when somebody connects its sandbox elsewhere: there the guard has no rule for it."""
        while True:
            await asyncio.sleep(NETWORK_CHECK_S)
            try:
                record = await self._engine.inspect(sandbox.container)
                networks = set(record["NetworkSettings"]["Networks"])
            except NotFoundError:
                return
            except Exception:  # noqa: BLE001 - what cannot be seen is not taken for right
                self._end(run_id, NETWORK_UNKNOWN)
                return
            if networks != {sandbox.network}:
                self._end(run_id, NETWORK_CHANGED)
                return

    async def _stop(self, sandbox: Sandbox, talking: asyncio.Task[ExitStatus], grace_s: float) -> None:
        """SIGTERM, a grace, SIGKILL."""
        try:
            await self._engine.signal(sandbox.container, "SIGTERM")
            done, _ = await asyncio.wait([talking], timeout=grace_s)
            if not done:
                await self._engine.signal(sandbox.container, "SIGKILL")
                await asyncio.wait([talking], timeout=KILLED_S)
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)

    def _judge(self, run: Run, request: RunRequest, status: ExitStatus, output: Output) -> Run:
        result = None if output.is_stdout_too_long else parse_result(output.stdout)
        error = classify_exit(status, result=result, stderr=output.stderr, limits=request.limits)
        if error is None and output.is_stdout_too_long:
            text = f"the agent's result is longer than {request.limits.output_bytes} bytes"
            error = RunError("SANDBOX_ERROR", text, "code_error", status.code)
        if error is not None:
            return dataclasses.replace(run, state=RunState.FAILED, error=error, result=result)
        return dataclasses.replace(run, state=RunState.COMPLETED, result=result)

    async def _set(self, run: Run, journal: Journal, state: RunState, **changes: Any) -> Run:
        run = dataclasses.replace(run, state=state, **changes)
        await self._store.update(run)
        await journal.add("state", {"state": state.value})
        return run

    async def _finish(self, run: Run, output: Output, journal: Journal) -> None:
        tail = output.stdout[: 10 << 10]
        run = dataclasses.replace(run, finished_at=time.time(), stdout=tail, stderr=output.stderr)
        try:
            if self._llm is not None:
                await self._llm.close(run.id)
            await asyncio.gather(*self._writes, return_exceptions=True)
            await self._store.update(run)
            if run.error is not None:
                await journal.add("error", dataclasses.asdict(run.error))
            if run.state is RunState.COMPLETED:
                await journal.add("result", {"result": run.result})
            await journal.add("state", {"state": run.state.value})
        finally:
            await journal.close()
            self._tasks.pop(run.id, None)
            self._ends.pop(run.id, None)
            self._live.forget(run.id)

    def _end(self, run_id: str, error: RunError) -> None:
        task = self._tasks.get(run_id)
        if task is not None and run_id not in self._ends:
            self._ends[run_id] = error
            if run_id in self._cancellable:
                task.cancel()

    # -- the proxy's news ----------------------------------------------------------------------

    def _end_all(self, error: RunError) -> None:
        for run_id in list(self._tasks):
            self._end(run_id, error)

    def _on_decision(self, line: DecisionLine) -> None:
        if line["sandbox_id"] is None:  # of a connection that belonged to no sandbox
            return
        run_id = run_id_of(line["sandbox_id"])
        journal = self._journals.get(run_id)
        if journal is not None:
            self._write(self._record(run_id, line, journal))

    def _write(self, writing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(writing)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _record(self, run_id: str, line: DecisionLine, journal: Journal) -> None:
        await self._store.add_decision(run_id, line)
        if not journal.is_closed:
            await journal.add("decision", dict(line))
