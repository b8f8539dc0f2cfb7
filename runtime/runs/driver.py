"""One run from queued to final, as the daemon sees it: its turn, its network, its keeper, and its record.

What happens in and to the sandbox is the keeper's (`runtime.keeper.work`), which goes on without the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable

import structlog

from runtime.engine.protocol import Engine
from runtime.engine.uninterrupted import uninterrupted
from runtime.errors import InternalError, OrchError
from runtime.keeper.ends import CANCELLED, GUARD_LOST, KEEPER_LOST, Ends
from runtime.keeper.link import KeeperLink, done_of, log_tail
from runtime.keeper.messages import Ended, Entry, Made
from runtime.keeper.nursery import KeepersPort
from runtime.keeper.work import KILLED_S, Done
from runtime.keys.live import LiveSecrets
from runtime.keys.redactor import too_short
from runtime.model.needs import NOTHING_SPENT, LlmSpent
from runtime.model.run import RunError, RunState
from runtime.model.secret import Secret
from runtime.network.connected import RunNetworks
from runtime.network.guard import HostGuard
from runtime.runs.admission import Ticket
from runtime.runs.heirloom import Heirloom, left_with
from runtime.runs.ports import LlmPort
from runtime.runs.records import RunRecord
from runtime.runs.trace import ENDED, MADE, NETWORK
from runtime.sandbox.outcome import Outcome
from runtime.sandbox.plan import plan_of
from runtime.sandbox.sandbox import SandboxOrder, SandboxPlan

type LetGo = Callable[[KeeperLink, RunRecord], Awaitable[None]]

MAKING_AT_ONCE = 8
"""Sandboxes: more at once would wait for one another at the engine and at the proxy, in their own time."""
CLEAN_UP_S = 60.0
"""For a keeper to end its run after the agent's own grace; one that takes longer is given up."""


class RunDriver:
    """Drives accepted runs, each in a task of its own."""

    def __init__(  # noqa: PLR0913 - keywords, each a seam
        self,
        *,
        engine: Engine,
        networks: RunNetworks,
        keepers: KeepersPort,
        guard: HostGuard,
        ends: Ends,
        live: LiveSecrets,
        llm: LlmPort | None,
        instance: str,
    ) -> None:
        self._engine = engine
        self._networks = networks
        self._keepers = keepers
        self._guard = guard
        self._ends = ends
        self._live = live
        self._llm = llm
        self._instance = instance
        self._turns = asyncio.Semaphore(MAKING_AT_ONCE)
        self._reading = asyncio.Lock()
        self._log = structlog.get_logger()

    async def drive(self, order: SandboxOrder, record: RunRecord, ticket: Ticket) -> None:
        """Run to the end and record it; the task that `ends` watches. Never raises."""
        await self._to_the_end(order.run_id, record, ticket, lambda story: self._run(order, story, ticket))
        order.parcel.drop()

    async def resume(self, link: KeeperLink, heirloom: Heirloom, record: RunRecord, ticket: Ticket) -> None:
        """Go on with a run that an earlier daemon began, to its end. Never raises."""
        run_id = record.run.id
        await self._to_the_end(run_id, record, ticket, lambda story: self._go_on(link, heirloom, story))

    async def _to_the_end(
        self, run_id: str, record: RunRecord, ticket: Ticket, work: Callable[[_Story], Awaitable[Done]]
    ) -> None:
        story = _Story(record)
        try:
            done = await work(story)
        except asyncio.CancelledError:
            done = Done(self._outside(run_id))
        except Exception as exc:  # noqa: BLE001 - a run always reaches a final state
            done = Done(Outcome(RunState.FAILED, self._why_failed(run_id, exc)))
        story.end_turn()
        ticket.leave()
        self._ends.leave(run_id)
        await uninterrupted(self._finish(run_id, story, done))

    def _why_failed(self, run_id: str, exc: Exception) -> RunError:
        if isinstance(exc, OrchError):
            return RunError(InternalError.code, exc.message)
        self._log.error("run-failed", run=run_id, error=type(exc).__name__)
        return RunError(InternalError.code, "the runner failed; its log names the run")

    def _outside(self, run_id: str) -> Outcome:
        """The outcome of a run that was ended from outside."""
        error = self._ends.why(run_id)
        return Outcome(RunState.CANCELLED if error.code == CANCELLED.code else RunState.FAILED, error)

    async def _run(self, order: SandboxOrder, story: _Story, ticket: Ticket) -> Done:
        record, run_id = story.record, order.run_id
        self._ends.begin(run_id)
        if (ahead := ticket.ahead) is not None:
            await record.tell("waiting", {"ahead": ahead})
        await ticket.admitted()
        await self._turns.acquire()
        story.give_back = self._turns.release
        await record.advance(RunState.STARTING)
        if names := too_short(order.request.secrets):
            await record.tell("secrets_too_short", {"names": names})
        order = self._open_llm(order, record)
        async with self._networks.made(run_id) as network:
            record.note(NETWORK)
            link = await uninterrupted(self._open_keeper(run_id, story))
            plan = plan_of(order, network, instance=self._instance)
            earlier = [Entry(kind=event.kind, data=event.data, at=event.at) for event in record.events]
            link.begin(plan, left_with(order, network.slot, self._live.names_of(run_id)), earlier)
            record.tell_through(link.tell)
            sending = asyncio.create_task(link.send_parcel(order.parcel.unpack()))
            try:
                return await self._follow(link, plan, story)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def _go_on(self, link: KeeperLink, heirloom: Heirloom, story: _Story) -> Done:
        order, record = heirloom.order, story.record
        story.link = link
        async with self._networks.adopted(order.run_id, heirloom.slot):
            self._open_llm(heirloom.order, record, heirloom.spent)
            record.tell_through(link.tell)
            await self._keep_secrets(order.run_id, link)
            return await self._follow(link, heirloom.plan, story)

    def _open_llm(
        self, order: SandboxOrder, record: RunRecord, spent: LlmSpent = NOTHING_SPENT
    ) -> SandboxOrder:
        """With the LLM router in its policy, for an agent that has a chain."""
        if self._llm is None:
            return order
        policy = self._llm.open(order.run_id, order.request, order.policy, record.tell_later, spent)
        return dataclasses.replace(order, policy=policy)

    async def _open_keeper(self, run_id: str, story: _Story) -> KeeperLink:
        """A keeper for the run; `_finish` lets go of it, also where the run was ended meanwhile."""
        story.link = await self._keepers.open(run_id)
        return story.link

    async def _follow(self, link: KeeperLink, plan: SandboxPlan, story: _Story) -> Done:
        """What the keeper tells, to the run's end; one that is ended from outside is ended by its keeper."""
        try:
            self._ends.begin(plan.run_id)  # one that was adopted may have been ended by now
            done = await self._listen(link, story, self._let_go)
        except asyncio.CancelledError:
            done = await uninterrupted(self._end(link, plan, story))
        except Exception as exc:  # noqa: BLE001 - whatever it is, the sandbox must not go on
            self._ends.note(plan.run_id, self._why_failed(plan.run_id, exc))
            done = await uninterrupted(self._end(link, plan, story))
        if done is not None:
            self._ends.leave(plan.run_id)  # it has ended: what comes while its network is removed is too late
            return done
        await uninterrupted(self._remove(link, plan))
        self._ends.note(plan.run_id, KEEPER_LOST)
        stderr = await uninterrupted(log_tail(link.folder, plan.limits.log_bytes))
        return Done(self._outside(plan.run_id), stderr=stderr)

    async def _end(self, link: KeeperLink, plan: SandboxPlan, story: _Story) -> Done | None:
        if story.ended is not None:  # by itself, in this very moment
            return await self._read(link, story.ended)
        link.end(self._ends.why(plan.run_id))
        try:
            async with asyncio.timeout(plan.limits.grace_s + KILLED_S + CLEAN_UP_S):
                return await self._listen(link, story, None)
        except TimeoutError:
            self._log.error("keeper-given-up", run=plan.run_id)
            return None

    async def _listen(self, link: KeeperLink, story: _Story, let_go: LetGo | None) -> Done | None:
        """Until the run's end; None where the keeper ended without a word of it.

        `let_go` is called when the sandbox has been made; without it, its agent never starts.
        """
        async for said in link.told():
            match said:
                case Entry():
                    await story.record.take(said.kind, said.data, said.at)
                case Made() if let_go is not None:
                    story.record.note(MADE)
                    story.end_turn()
                    await let_go(link, story.record)
                case Ended():
                    story.record.note(ENDED)
                    story.ended = said
                    return await self._read(link, said)
        return None

    async def _read(self, link: KeeperLink, ended: Ended) -> Done:
        """One result after the other: to be checked, each takes a few times its size."""
        async with self._reading:
            return await done_of(link.folder, ended)

    async def _let_go(self, link: KeeperLink, record: RunRecord) -> None:
        """The sandbox has been made: its agent starts, unless what holds it was lost meanwhile."""
        run_id = record.run.id
        if not self._guard.status.is_proved:
            self._ends.note(run_id, GUARD_LOST)
            raise asyncio.CancelledError
        await record.advance(RunState.RUNNING, started_at=time.time())
        await self._keep_secrets(run_id, link)
        link.go()

    async def _keep_secrets(self, run_id: str, link: KeeperLink) -> None:
        """From now on, what changes in the vault changes in the proxy, in the router and in the masks."""

        async def renew(name: str, value: Secret | None) -> None:
            if self._llm is not None:
                self._llm.replace_secret(run_id, name, value)
            await link.replace_secret(name, value)

        await self._live.attach(run_id, renew)

    async def _remove(self, link: KeeperLink, plan: SandboxPlan) -> None:
        """What a keeper that was lost has left: its worker ends with it, its container does not."""
        link.kill()
        with contextlib.suppress(OrchError):  # reaped when the engine is back
            await self._engine.remove(plan.container)

    async def _finish(self, run_id: str, story: _Story, done: Done) -> None:
        story.record.tell_through(None)  # the keeper takes nothing more
        try:
            if self._llm is not None:
                await self._llm.close(run_id)
        except Exception as exc:  # noqa: BLE001 - the run's end is recorded all the same
            self._log.error("llm-not-closed", run=run_id, error=type(exc).__name__)
        try:
            omitted = 0 if story.ended is None else story.ended.omitted.get("decision", 0)
            is_recorded = await story.record.finish(done, omitted)
            if story.link is not None:  # what the store has not taken the next daemon finds with the keeper
                await story.link.close(is_recorded=is_recorded)
        finally:
            self._ends.forget(run_id)
            self._live.forget(run_id)


@dataclasses.dataclass(slots=True)
class _Story:
    """What is known of a run besides its outcome."""

    record: RunRecord
    link: KeeperLink | None = None
    ended: Ended | None = None
    """The keeper's last word."""
    give_back: Callable[[], None] | None = None
    """Ends the run's turn at being made, once it has one."""

    def end_turn(self) -> None:
        """The next one may be made. Nothing the second time."""
        give_back, self.give_back = self.give_back, None
        if give_back is not None:
            give_back()
