"""What is told of runs: each one's record in the store, its events and decisions, and its end.

A run becomes final in one place, `RunRecord.finish`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from typing import Any, cast

import structlog

from proxy.contract.decision_line import DecisionLine
from runtime.audit.port import AuditPort, NoAudit
from runtime.errors import GoneError, InvalidInputError, NotFoundError
from runtime.keeper.bounds import MAX_EVENTS, MAX_KEPT_BYTES, OMITTED
from runtime.keeper.work import Done, Tell
from runtime.model.run import Event, Run, RunState, RunSummary
from runtime.model.run_query import RunPage, RunQuery
from runtime.runs.figures import RunFigures
from runtime.runs.journal import Journal, Journals
from runtime.runs.ports import Also, StorePort
from runtime.runs.trace import RUNNING, TURN, OnEnd, TraceNotes

RETRY_WAITS_S = (0.1, 0.5, 2.0, 5.0)
"""Before each further attempt to write a run's end, where the store has failed."""
REWRITE_S, REWRITE_MAX_S = 10.0, 300.0
"""Between the attempts in the background that follow: doubled each time, up to the second."""
TEND_S = 3600.0
"""How often the store is told that this daemon is at work."""


def no_run(run_id: str) -> NotFoundError:
    """The same for a run that is not there and for one that the caller does not see."""
    return NotFoundError(f"no run {run_id}", hint="orch runs")


class Records:
    """The records of all runs, over a store that may fail."""

    def __init__(self, store: StorePort, *, audit: AuditPort | None = None) -> None:
        """`audit` is told of each run's begin, decisions and end."""
        self._store = store
        self.audit = audit or NoAudit()
        self._journals = Journals()
        self._unwritten: dict[str, Run] = {}
        """Runs that have ended, and whose end the store did not take."""
        self._rewriting: asyncio.Task[None] | None = None
        self._tending: asyncio.Task[None] | None = None
        self._writes: dict[str, set[asyncio.Task[None]]] = {}
        """What is being written of each run: one run's flood holds up no other's end."""
        self._adopted: set[str] = set()
        self._living: dict[str, RunRecord] = {}
        self.figures = RunFigures()
        self.on_end: OnEnd | None = None
        """Given the trace of each run that has ended; without it none is made."""
        self._log = structlog.get_logger()

    async def start(self) -> None:
        """Fail the runs that an earlier daemon left unfinished, but for those that were adopted."""
        await self._store.fail_unfinished(
            "the daemon ended before the run did; start it again", but=self._adopted
        )
        self._tending = asyncio.create_task(self._tend())

    async def close(self) -> None:
        """Wait for what is still being written, and try once more what could not be."""
        background = [task for task in (self._tending, self._rewriting) if task is not None]
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        for run_id in list(self._writes):
            await self._settle_writes(run_id)
        await self._write_unwritten()  # what is refused now the next start marks as failed

    async def open(self, run: Run, also: Also | None = None) -> RunRecord:
        """Record a new run and begin its events. Raises what the store and `also` raise."""
        journal = self._journals.open(run.id)  # first: whoever sees the run can wait for its end
        try:
            await self._store.create(run, also)
        except BaseException:
            self._journals.discard(run.id)
            raise
        said = {"agent": run.agent_ref, "policy": run.policy_name, "workspace": run.workspace}
        self.audit.note("run.queued", who=f"run:{run.id}", data={**said, "isolation": run.isolation.value})
        record = self._living[run.id] = RunRecord(self, run, journal)
        await record.tell("state", {"state": run.state.value})
        return record

    async def adopt(self, run: Run) -> RunRecord:
        """Go on with a run that an earlier daemon recorded; its events are told anew from the first on."""
        self._adopted.add(run.id)
        written = await self._store.adopt(run.id)
        record = RunRecord(self, run, self._journals.open(run.id), written_decisions=written)
        self._living[run.id] = record
        return record

    async def give_back(self, run_id: str) -> None:
        """A run that was not adopted after all: it is failed with the others that were left unfinished."""
        self._adopted.discard(run_id)
        self.leave(run_id)
        if (journal := self._journals.get(run_id)) is not None:
            await journal.close()

    @property
    def states(self) -> Counter[RunState]:
        """How many runs that have not ended are in which state."""
        return Counter(record.run.state for record in self._living.values())

    def leave(self, run_id: str) -> None:
        """The run has ended, or is not ours."""
        self._living.pop(run_id, None)

    async def get(self, run_id: str) -> Run:
        """A run's record, with its end also where the store has not taken it. Raises NotFoundError."""
        run = self._unwritten.get(run_id) or await self._store.get(run_id)
        if run is None:
            raise no_run(run_id)
        return run

    async def find(self, ref: str, workspace: str | None) -> RunSummary:
        """A run by its id or the first digits of it, among those of one workspace or of all.

        Raises NotFoundError, and InvalidInputError where several ids begin so.
        """
        found = await self._store.named(ref, workspace)
        exact = [run for run in found if run.id == ref]
        if len(found) > 1 and not exact:
            raise InvalidInputError(
                f"run {ref}: more than one run has an id that begins so",
                hint="give more of its digits",
                param="run_id",
            )
        if not found:
            raise no_run(ref)
        return self._as_it_ended((exact or found)[0])

    async def page(self, query: RunQuery) -> RunPage:
        """A page of a list, the newest first."""
        found = await self._store.page(query)
        shown = [self._as_it_ended(run) for run in found.items]
        return found._replace(items=[run for run in shown if query.filter.takes(run)])

    def _as_it_ended(self, run: RunSummary) -> RunSummary:
        """With its end also where the store has not taken it."""
        ended = self._unwritten.get(run.id)
        return run if ended is None else ended.summary()

    async def ended(self, run_id: str) -> None:
        """Wait for the end of a run. Of one that another daemon works on nothing is heard here: for ever."""
        journal = self._journals.get(run_id)
        await (asyncio.Event().wait() if journal is None else journal.closed())

    def goes_on(self, run_id: str, after: int) -> bool:
        """Whether there is anything to follow behind event `after`: not where that was the `end`.

        Raises GoneError where what comes behind it is no longer kept, or never was.
        """
        journal = self._journals.get(run_id)
        if after == 0 or (journal is not None and not journal.is_closed):
            return True
        if journal is None or after > journal.count + 1:
            raise GoneError(
                f"the events behind {after} are not kept", hint="get the run, or begin without a cursor"
            )
        return after <= journal.count

    async def events(self, run_id: str, after: int) -> AsyncIterator[Event]:
        """Replay and follow, up to the one `end`; a run whose events are no longer kept gives its state."""
        journal = self._journals.get(run_id)
        if journal is not None:
            async for event in journal.follow(after):
                yield await self._with_result(run_id, event)
            last = journal.count
            if after > last:
                return
            run = await self.find(run_id, None)
        else:
            last, run = 1, await self.find(run_id, None)
            yield Event(1, "state", {"state": run.state.value}, run.finished_at or run.created_at)
        if run.state.is_final:  # else the daemon stops: whoever follows goes on with the next one
            yield Event(last + 1, "end", {"state": run.state.value}, run.finished_at or run.created_at)

    async def _with_result(self, run_id: str, event: Event) -> Event:
        """A journal keeps no result: the record has it, for as long as somebody reads it here."""
        if event.kind != "result":
            return event
        return dataclasses.replace(event, data={"result": (await self.get(run_id)).result})

    async def decisions(self, run_id: str) -> list[DecisionLine]:
        """The proxy's decisions on a run, in order. Raises NotFoundError."""
        await self.get(run_id)
        return await self._store.decisions(run_id)

    def write_later(self, run_id: str, writing: Coroutine[Any, Any, None]) -> None:
        """Write in the background. All that was begun before the run's end is written before its end is."""
        task = asyncio.create_task(writing)
        self._writes.setdefault(run_id, set()).add(task)
        task.add_done_callback(functools.partial(self._written, run_id))

    def _written(self, run_id: str, task: asyncio.Task[None]) -> None:
        self._writes[run_id].discard(task)
        if not self._writes[run_id]:
            del self._writes[run_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("record-not-written", error=type(error).__name__)

    async def update(self, run: Run) -> None:
        """Record the state of a run that goes on. Raises what the store raises."""
        await self._store.update(run)

    async def write_end(self, run: Run) -> bool:
        """Record a run's end, with further attempts where the store fails; whether it took it. Never raises.

        What it does not take in the end is kept here, so that no answer calls the run unfinished, and is
        tried again until it is taken. Without a store no run begins, so these are no more than lived at once.
        """
        await self._settle_writes(run.id)
        for wait_s in (*RETRY_WAITS_S, None):
            try:
                await self._store.update(run)
            except Exception as exc:  # noqa: BLE001 - whatever it is, the run has ended
                self._log.error("end-not-recorded", run=run.id, error=type(exc).__name__, retry_s=wait_s)
            else:
                return True
            if wait_s is not None:
                await asyncio.sleep(wait_s)
        self._unwritten[run.id] = run
        if self._rewriting is None or self._rewriting.done():
            self._rewriting = asyncio.create_task(self._rewrite())
        return False

    async def _rewrite(self) -> None:
        """Until the store has taken every end."""
        wait_s = REWRITE_S
        while self._unwritten:
            await asyncio.sleep(wait_s)
            await self._write_unwritten()
            wait_s = min(wait_s * 2, REWRITE_MAX_S)

    async def _write_unwritten(self) -> None:
        for run in list(self._unwritten.values()):
            with contextlib.suppress(Exception):  # whatever it is, it stays here and is tried again
                await self._store.update(run)
                del self._unwritten[run.id]
                self._log.info("end-recorded", run=run.id)

    async def _tend(self) -> None:
        """Keep this installation among those at work."""
        while True:
            try:
                await self._store.fail_abandoned("the daemon that ran the agent is gone")
            except Exception as exc:  # noqa: BLE001 - a store that is away is asked again
                self._log.error("store-not-tended", error=type(exc).__name__)
            await asyncio.sleep(TEND_S)

    async def _settle_writes(self, run_id: str) -> None:
        await asyncio.gather(*self._writes.get(run_id, ()), return_exceptions=True)

    async def add_decision(self, run_id: str, line: DecisionLine) -> None:
        """Record a decision on the run. Raises what the store raises."""
        await self._store.add_decision(run_id, line)


class RunRecord:
    """One run while it lives: its record and its events."""

    def __init__(self, records: Records, run: Run, journal: Journal, *, written_decisions: int = 0) -> None:
        """`written_decisions` is how many of its first decisions are recorded already."""
        self.run = run
        self._records = records
        self._journal = journal
        self._written_decisions = written_decisions
        self._is_omitting = False
        """Whether its decisions have become too many for a line each."""
        self._elsewhere: Tell | None = None
        self._trace = TraceNotes()
        self._turn_at: float | None = None
        """When its turn came, by the monotonic clock."""

    @property
    def events(self) -> list[Event]:
        """All so far."""
        return self._journal.events

    def tell_through(self, tell: Tell | None) -> None:
        """From now on what is told goes to the run's keeper, which gives it back in its order (`take`)."""
        self._elsewhere = tell

    async def advance(self, state: RunState, *, started_at: float | None = None) -> None:
        """Record that the run has come this far, which is never its end. Raises what the store raises."""
        if state.is_final:
            raise ValueError("a run ends by `finish` only")
        self._count_step(state)
        self.run = dataclasses.replace(self.run, state=state, started_at=started_at)
        await self._records.update(self.run)
        await self.tell("state", {"state": state.value})

    def note(self, what: str) -> None:
        """Note for the run's trace that something has come (`runs.trace`)."""
        self._trace.note(what, time.time())

    def _count_step(self, state: RunState) -> None:
        figures = self._records.figures
        self.note(TURN if state is RunState.STARTING else RUNNING)
        if state is RunState.STARTING:
            figures.queue_s.observe(time.time() - self.run.created_at)
            self._turn_at = time.monotonic()
        elif state is RunState.RUNNING and self._turn_at is not None:
            figures.start_s.observe(time.monotonic() - self._turn_at)

    async def tell(self, kind: str, data: dict[str, object]) -> None:
        """Add an event to the run's story."""
        if self._elsewhere is not None:
            self._elsewhere(kind, data)
        else:
            await self._journal.add(kind, data)

    def tell_later(self, kind: str, data: dict[str, object]) -> None:
        """Add an event, for a caller that cannot wait."""
        if self._elsewhere is not None:
            self._elsewhere(kind, data)
        else:
            self._records.write_later(self.run.id, self._journal.add(kind, data))

    async def take(self, kind: str, data: dict[str, Any], at: float) -> None:
        """An event that the keeper tells, at epoch seconds; a decision is recorded as well."""
        if kind == "decision":
            if self._written_decisions:
                self._written_decisions -= 1
            else:
                line = cast("DecisionLine", data)  # the keeper's worker has read it strictly
                self._records.audit.note("decision", who=f"run:{self.run.id}", data=data)
                self._records.figures.count_decision(line)
                if self._records.on_end is not None:
                    self._trace.add_decision(line)
                self._records.write_later(self.run.id, self._records.add_decision(self.run.id, line))
        elif kind == OMITTED and "decision" in data and not self._is_omitting:
            self._is_omitting = True
            bound: dict[str, object] = {"decisions": MAX_EVENTS, "bytes": MAX_KEPT_BYTES}
            self._records.audit.note("decision.omitted", who=f"run:{self.run.id}", data=bound)
        await self._journal.add(kind, data, at)

    async def finish(self, done: Done, omitted_decisions: int = 0) -> bool:
        """Make the run final: its record, its last events, and no event after them.

        Whether the store has taken it.
        """
        outcome = done.outcome
        self._elsewhere = None
        self.run = dataclasses.replace(
            self.run,
            state=outcome.state,
            error=outcome.error,
            result=outcome.result,
            finished_at=time.time() if done.at is None else done.at,
            stdout=done.stdout,
            stderr=done.stderr,
            omitted_decisions=omitted_decisions,
        )
        self._records.leave(self.run.id)
        self._records.figures.count_end(outcome.state, outcome.error)
        try:
            code = None if outcome.error is None else outcome.error.code
            said = {"state": outcome.state.value, "code": code, "omitted_decisions": omitted_decisions}
            self._records.audit.note("run.ended", who=f"run:{self.run.id}", data=said)
            is_written = await self._records.write_end(self.run)
            if outcome.error is not None:
                await self.tell("error", dataclasses.asdict(outcome.error))
            if outcome.state is RunState.COMPLETED:
                await self.tell("result", {})
            await self.tell("state", {"state": outcome.state.value})
        finally:
            await self._journal.close()
            self._send_trace()
        return is_written

    def _send_trace(self) -> None:
        if self._records.on_end is None:
            return
        try:
            self._records.on_end(self._trace.trace(self.run.summary(), time.time()))
        except Exception as exc:  # noqa: BLE001 - the run has ended all the same
            structlog.get_logger().error("trace-not-sent", run=self.run.id, error=type(exc).__name__)
