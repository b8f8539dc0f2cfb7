"""One run from queued to final: its sandbox is made, spoken with, watched, stopped, and its end recorded."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time

import structlog

from runtime.engine.protocol import Engine, ExitStatus
from runtime.engine.uninterrupted import uninterrupted
from runtime.errors import InternalError, NotFoundError, OrchError
from runtime.keys.live import LiveSecrets
from runtime.keys.redactor import Redactor
from runtime.model.run import RunError, RunState
from runtime.model.secret import Secret
from runtime.network.guard import HostGuard
from runtime.runs.admission import Ticket
from runtime.runs.ends import CANCELLED, GUARD_LOST, NETWORK_CHANGED, NETWORK_UNKNOWN, Ends
from runtime.runs.ports import LlmPort
from runtime.runs.records import RunRecord
from runtime.sandbox.conversation import converse, init_message
from runtime.sandbox.maker import SandboxMaker
from runtime.sandbox.outcome import Outcome, judge
from runtime.sandbox.output import Output
from runtime.sandbox.sandbox import Sandbox, SandboxOrder

NETWORK_CHECK_S = 3.0
"""How often a running sandbox is looked at: it belongs on its own network, and on no other."""
KILLED_S = 10.0
"""For the streams to end after SIGKILL; the container is removed in any case."""
MAX_STDOUT_CHARS = 10 << 10
"""Of stdout kept in a run's record, beside its result."""


class RunDriver:
    """Drives accepted runs, each in a task of its own."""

    def __init__(
        self,
        *,
        engine: Engine,
        maker: SandboxMaker,
        guard: HostGuard,
        ends: Ends,
        live: LiveSecrets,
        llm: LlmPort | None,
    ) -> None:
        self._engine = engine
        self._maker = maker
        self._guard = guard
        self._ends = ends
        self._live = live
        self._llm = llm
        self._log = structlog.get_logger()

    async def drive(self, order: SandboxOrder, record: RunRecord, ticket: Ticket) -> None:
        """Run to the end and record it; the task that `ends` watches. Never raises."""
        output: Output | None = None
        try:
            limits = order.request.limits
            redact = Redactor(secret.reveal() for secret in order.request.secrets.values())
            output = Output(redact, stdout_bytes=limits.output_bytes, log_bytes=limits.log_bytes)
            outcome = await self._run(order, record, output, ticket)
        except Exception as exc:  # noqa: BLE001 - a run always reaches a final state
            outcome = self._failed(order.run_id, exc)
        ticket.leave()
        order.parcel.drop()
        self._ends.leave(order.run_id)
        await uninterrupted(self._finish(order.run_id, record, outcome, output))

    def _failed(self, run_id: str, exc: Exception, result: object | None = None) -> Outcome:
        self._log.error("run-failed", run=run_id, error=type(exc).__name__)
        error = RunError(InternalError.code, "the runner failed; its log names the run")
        return Outcome(RunState.FAILED, error, result)

    async def _run(self, order: SandboxOrder, record: RunRecord, output: Output, ticket: Ticket) -> Outcome:
        """From its first step to its sandbox's removal. Never raises: whatever happens is an outcome."""
        result: object | None = None
        try:
            self._ends.begin(order.run_id)
            await self._wait_for_turn(record, ticket)
            await record.advance(RunState.STARTING)
            order = self._open_llm(order, record)
            async with self._maker.sandbox(order) as sandbox:
                if not self._guard.status.is_proved:  # lost since the run was asked for
                    self._ends.note(order.run_id, GUARD_LOST)
                    raise asyncio.CancelledError  # noqa: TRY301
                await record.advance(RunState.RUNNING, started_at=time.time())
                outcome = await self._converse(order, sandbox, output, record)
                result = outcome.result
        except asyncio.CancelledError:
            error = self._ends.why(order.run_id)
            state = RunState.CANCELLED if error.code == CANCELLED.code else RunState.FAILED
            return Outcome(state, error, result)
        except OrchError as exc:
            return Outcome(RunState.FAILED, RunError(InternalError.code, output.redact(exc.message)), result)
        except Exception as exc:  # noqa: BLE001 - a run always reaches a final state
            return self._failed(order.run_id, exc, result)
        return outcome

    async def _wait_for_turn(self, record: RunRecord, ticket: Ticket) -> None:
        """The run stays `queued`, and says how many are before it, until there is memory for it."""
        if (ahead := ticket.ahead) is not None:
            await record.tell("waiting", {"ahead": ahead})
        await ticket.admitted()

    def _open_llm(self, order: SandboxOrder, record: RunRecord) -> SandboxOrder:
        """With the LLM router in its policy, for an agent that has a chain."""
        if self._llm is None:
            return order
        policy = self._llm.open(order.run_id, order.request, order.policy, record.tell_later)
        return dataclasses.replace(order, policy=policy)

    async def _converse(
        self, order: SandboxOrder, sandbox: Sandbox, output: Output, record: RunRecord
    ) -> Outcome:
        run_id, limits = order.run_id, order.request.limits
        output.redact.add(sandbox.proxy_token.reveal())
        await self._keep_secrets(run_id, sandbox, output)

        async def on_log(text: str) -> None:
            await record.tell("log", {"text": text})

        message = init_message(
            order.request, order.parcel, sandbox.secrets, sandbox.environment, sandbox.ca_pem
        )
        talking = asyncio.create_task(converse(self._engine, sandbox, message, output, on_log))
        minding = asyncio.create_task(self._mind_network(run_id, sandbox))
        try:
            status: ExitStatus | None = await asyncio.wait_for(asyncio.shield(talking), limits.timeout_s)
        except TimeoutError:
            await self._stop(sandbox, talking, limits.grace_s)
            status = None
        except asyncio.CancelledError:
            grace_s = self._ends.grace_s(run_id, limits.grace_s)
            with contextlib.suppress(OrchError):  # an engine that is away: reaped when it is back
                await uninterrupted(self._stop(sandbox, talking, grace_s))
            raise
        finally:
            minding.cancel()
        return judge(status, output, limits)

    async def _keep_secrets(self, run_id: str, sandbox: Sandbox, output: Output) -> None:
        """From now on, what changes in the vault changes in the proxy, in the router and in the masks."""

        async def renew(name: str, value: Secret | None) -> None:
            if value is not None:
                output.redact.add(value.reveal())
            if self._llm is not None:
                self._llm.replace_secret(run_id, name, value)
            await sandbox.granted.replace_secret(name, value)

        await self._live.attach(run_id, renew)

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
                self._ends.end(run_id, NETWORK_UNKNOWN)
                return
            if networks != {sandbox.network}:
                self._ends.end(run_id, NETWORK_CHANGED)
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

    async def _finish(self, run_id: str, record: RunRecord, outcome: Outcome, output: Output | None) -> None:
        try:
            if self._llm is not None:
                await self._llm.close(run_id)
        except Exception as exc:  # noqa: BLE001 - the run's end is recorded all the same
            self._log.error("llm-not-closed", run=run_id, error=type(exc).__name__)
        try:
            stdout, stderr = self._texts(run_id, output)
            await record.finish(outcome, stdout=stdout, stderr=stderr)
        finally:
            self._ends.forget(run_id)
            self._live.forget(run_id)

    def _texts(self, run_id: str, output: Output | None) -> tuple[str, str]:
        """What is recorded of stdout and stderr: nothing where it cannot be masked."""
        try:
            return (output.stdout[:MAX_STDOUT_CHARS], output.stderr) if output is not None else ("", "")
        except Exception as exc:  # noqa: BLE001 - the run's end is recorded all the same
            self._log.error("output-not-kept", run=run_id, error=type(exc).__name__)
            return "", ""
