"""A run as its keeper does it: the sandbox is made, spoken with, watched, stopped, removed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import structlog

from proxy.contract.decision_line import DecisionLine
from runtime.engine.protocol import Engine, ExitStatus
from runtime.engine.uninterrupted import uninterrupted
from runtime.errors import InternalError, NotFoundError, OrchError
from runtime.keeper.ends import CANCELLED, NETWORK_CHANGED, NETWORK_UNKNOWN, WORKER_LOST, Ends
from runtime.keys.redactor import Redactor
from runtime.model.json_text import JsonText
from runtime.model.run import RunError, RunState
from runtime.model.secret import Secret
from runtime.sandbox.conversation import converse
from runtime.sandbox.maker import SandboxMaker
from runtime.sandbox.outcome import Outcome, judge
from runtime.sandbox.output import Output
from runtime.sandbox.sandbox import Sandbox, SandboxPlan

NETWORK_CHECK_S = 3.0
"""How often a running sandbox is looked at: it belongs on its own network, and on no other."""
KILLED_S = 10.0
"""For the streams to end after SIGKILL; the container is removed in any case."""
MAX_STDOUT_CHARS = 10 << 10
"""Of stdout kept in a run's record, beside its result."""

type Tell = Callable[[str, dict[str, object]], None]
"""Keeps an event of the run."""
type Payload = Callable[[], AsyncIterator[bytes]]
"""The run's files and input, as they come."""


@dataclass(frozen=True, slots=True)
class Done:
    """How the run ended, and what is recorded of what the agent wrote."""

    outcome: Outcome
    stdout: str = ""
    stderr: str = ""
    at: float | None = None
    """When, in epoch seconds; None is now."""


class Work:
    """One run. `run` is the task that `ends` watches."""

    def __init__(
        self,
        plan: SandboxPlan,
        *,
        engine: Engine,
        maker: SandboxMaker,
        ends: Ends,
        tell: Tell,
        payload: Payload,
        on_made: Callable[[], None],
    ) -> None:
        """`on_made` is called when the sandbox waits for `go`."""
        self._plan = plan
        self._engine = engine
        self._maker = maker
        self._ends = ends
        self._tell = tell
        self._payload = payload
        self._on_made = on_made
        self._going = asyncio.Event()
        self._sandbox: Sandbox | None = None
        self._output: Output | None = None
        self._log = structlog.get_logger()

    @property
    def is_going(self) -> bool:
        """Whether the agent may start, or has."""
        return self._going.is_set()

    def go(self) -> None:
        """The agent may start."""
        self._going.set()

    async def replace_secret(self, name: str, value: Secret | None) -> None:
        """From now on the proxy and the masks have another value, or none.

        Raises what `LiveGrant.replace_secret` raises.
        """
        if value is not None and self._output is not None:
            self._output.redact.add(value.reveal())
        if self._sandbox is not None:
            await self._sandbox.granted.replace_secret(name, value)

    async def run(self) -> Done:
        """From the grant to the sandbox's removal. Never raises: whatever happens is an outcome."""
        try:
            limits = self._plan.limits
            grant = self._plan.grant
            redact = Redactor([grant.token, *(secret.value for secret in grant.secrets)])
            self._output = Output(redact, stdout_bytes=limits.output_bytes, log_bytes=limits.log_bytes)
            outcome = await self._run(self._output)
        except Exception as exc:  # noqa: BLE001 - a run always reaches a final state
            outcome = self._failed(exc)
        self._ends.leave(self._plan.run_id)
        return Done(outcome, *self._texts())

    def _failed(self, exc: Exception, result: JsonText | None = None) -> Outcome:
        self._log.error("run-failed", run=self._plan.run_id, error=type(exc).__name__)
        error = RunError(InternalError.code, "the runner failed; its log names the run")
        return Outcome(RunState.FAILED, error, result)

    async def _run(self, output: Output) -> Outcome:
        run_id = self._plan.run_id
        result: JsonText | None = None
        try:
            self._ends.begin(run_id)
            lost = lambda: self._ends.end(run_id, WORKER_LOST)  # noqa: E731
            async with self._maker.sandbox(self._plan, on_decision=self._decided, on_lost=lost) as sandbox:
                self._sandbox = sandbox
                self._on_made()
                await self._going.wait()
                outcome = await self._converse(sandbox, output)
                result = outcome.result
        except asyncio.CancelledError:
            error = self._ends.why(run_id)
            state = RunState.CANCELLED if error.code == CANCELLED.code else RunState.FAILED
            return Outcome(state, error, result)
        except OrchError as exc:
            return Outcome(RunState.FAILED, RunError(InternalError.code, output.redact(exc.message)), result)
        except Exception as exc:  # noqa: BLE001 - a run always reaches a final state
            return self._failed(exc, result)
        finally:
            self._sandbox = None
        return outcome

    def _decided(self, line: DecisionLine) -> None:
        """A decision on this run; one on a connection that belonged to no sandbox is none of its."""
        if line["sandbox_id"] == self._plan.grant.sandbox_id:
            self._tell("decision", dict(line))

    async def _converse(self, sandbox: Sandbox, output: Output) -> Outcome:
        run_id, limits = self._plan.run_id, self._plan.limits
        message = self._message(sandbox)
        talking = asyncio.create_task(
            converse(self._engine, sandbox, message, output, lambda text: self._tell("log", {"text": text}))
        )
        minding = asyncio.create_task(self._mind_network(sandbox))
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
        self._ends.leave(run_id)  # it has ended: what comes while its result is read is too late
        # In a thread: a result may take a minute to be masked, and a daemon must be answered meanwhile.
        return await asyncio.to_thread(judge, status, output, limits)

    async def _message(self, sandbox: Sandbox) -> AsyncIterator[bytes]:
        yield self._plan.head.encode(sandbox.secrets, sandbox.environment, sandbox.ca_pem)
        async for piece in self._payload():
            yield piece

    async def _mind_network(self, sandbox: Sandbox) -> None:
        """End the run when somebody connects its sandbox elsewhere: there the guard has no rule for it."""
        run_id = self._plan.run_id
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

    def _texts(self) -> tuple[str, str]:
        """What is recorded of stdout and stderr: nothing where it cannot be masked."""
        try:
            if self._output is None:
                return "", ""
            return self._output.stdout_head(MAX_STDOUT_CHARS), self._output.stderr
        except Exception as exc:  # noqa: BLE001 - the run's end is recorded all the same
            self._log.error("output-not-kept", run=self._plan.run_id, error=type(exc).__name__)
            return "", ""
