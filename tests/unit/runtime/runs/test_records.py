"""What is told of runs, and that a run which has ended is never told as running."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.contract.decision_line import DecisionLine
from proxy.policy.model import Policy
from runtime.engine.fake_programs import FakeProcess
from runtime.engine.protocol import STDOUT
from runtime.errors import ConflictError, NotReadyError
from runtime.model.json_text import JsonText
from runtime.model.limits import Isolation
from runtime.model.run import Run, RunState
from runtime.model.run_query import RunQuery
from runtime.policies.digest import policy_digest
from runtime.runs.records import RETRY_WAITS_S, Records
from tests.unit.runtime.fakes import MemoryStore
from tests.unit.runtime.run_world import World, answer, request


async def test_events_tell_the_story_in_order(world: World):
    """queued, starting, running, log, result, completed; numbered; replayed for who comes late."""
    world.agent = answer
    run = await world.run()
    events = [event async for event in world.service.events(run.id)]
    told = [event.data.get("state") or event.kind for event in events]
    assert told == ["queued", "starting", "running", "log", "result", "completed", "completed"]
    assert [event.kind for event in events[-2:]] == ["state", "end"]
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6, 7]
    assert [e.seq async for e in world.service.events(run.id, after=4)] == [5, 6, 7]


async def test_decisions_are_events_and_are_kept(world: World):
    """What the proxy decides about a run is in its story and in its record; nobody else's is."""

    async def ask(process: FakeProcess, head: dict[str, Any]) -> int:
        [(sandbox_id, worker)] = world.link.workers.items()
        worker.on_decision({"sandbox_id": sandbox_id, "verdict": "deny"})
        worker.on_decision({"sandbox_id": "somebody-else", "verdict": "allow"})
        worker.on_decision({"sandbox_id": None, "verdict": "allow"})
        return 0

    world.agent = ask
    run = await world.run()
    assert await world.service.decisions(run.id) == [{"sandbox_id": run.id, "verdict": "deny"}]
    kinds = [event.kind async for event in world.service.events(run.id)]
    assert kinds.count("decision") == 1
    assert list(world.store.lines) == [run.id]


async def test_a_run_is_in_the_audit(world: World):
    """Which policy it had, its begin, what was decided on it, and its end."""

    async def ask(process: FakeProcess, head: dict[str, Any]) -> int:
        [(sandbox_id, worker)] = world.link.workers.items()
        worker.on_decision({"sandbox_id": sandbox_id, "verdict": "deny"})
        return 3

    world.agent = ask
    run = await world.run()
    digest = policy_digest(Policy("llm-only"))
    about = {"agent": "acme/test", "policy": "llm-only", "workspace": "default", "isolation": "runc"}
    assert world.audit.lines == [
        ("policy.load", f"run:{run.id}", {"policy": "llm-only", "sha256": digest}),
        ("run.queued", f"run:{run.id}", about),
        ("decision", f"run:{run.id}", {"sandbox_id": run.id, "verdict": "deny"}),
        ("run.ended", f"run:{run.id}", {"state": "failed", "code": "SANDBOX_ERROR", "omitted_decisions": 0}),
    ]


async def test_a_decision_that_the_store_refuses_is_told_all_the_same(world: World, monkeypatch):
    """Whoever follows the run hears of it, and the daemon's log says that a record is missing."""

    async def refuse(_run_id: str, _line: DecisionLine) -> None:
        raise OSError("disk full")

    async def ask(process: FakeProcess, head: dict[str, Any]) -> int:
        (sandbox_id,) = world.link.grants
        world.link.on_decision({"sandbox_id": sandbox_id, "verdict": "deny"})
        return 0

    monkeypatch.setattr(world.store, "add_decision", refuse)
    world.agent = ask

    with capture_logs() as logs:
        run = await world.run()

    assert [event.kind async for event in world.service.events(run.id)].count("decision") == 1
    assert [(e["event"], e["error"]) for e in logs] == [("record-not-written", "OSError")]


async def test_no_result_is_kept_in_memory(world: World):
    """Who follows is given it from the record, as often as asked; between that nothing here holds it."""

    async def big(process: FakeProcess, head: dict[str, Any]) -> int:
        process.write(STDOUT, json.dumps({"a key of this test": ["x" * 100] * 1000}).encode())
        return 0

    world.agent = big
    run = await world.run()
    world.store.runs[run.id] = dataclasses.replace(run, result=JsonText(b'"from the store"'))
    [told] = [event async for event in world.service.events(run.id) if event.kind == "result"]

    assert told.data == {"result": JsonText(b'"from the store"')}
    journal = world.service._records._journals.get(run.id)
    assert journal is not None
    assert journal.size < 2000
    assert world.service._records._writes == {}
    gc.collect()
    holders = [
        found for found in gc.get_objects() if isinstance(found, dict) and "a key of this test" in found
    ]
    assert holders == []


async def test_one_runs_flood_holds_up_no_other_end(world: World, monkeypatch: pytest.MonkeyPatch):
    """Decisions that the store is slow to take delay the end of their own run only."""
    never = asyncio.Event()

    async def slow(_run_id: str, _line: DecisionLine) -> None:
        await never.wait()

    async def flood(process: FakeProcess, head: dict[str, Any]) -> int:
        (sandbox_id,) = world.link.grants
        for _ in range(100):
            world.link.on_decision({"sandbox_id": sandbox_id, "verdict": "deny"})
        return 0

    monkeypatch.setattr(world.store, "add_decision", slow)
    world.agent = flood
    attacker = await world.service.create(request())
    while attacker.id not in world.service._records._writes:
        await asyncio.sleep(0)
    world.agent = answer
    victim = await asyncio.wait_for(world.run(), 30)

    assert victim.state is RunState.COMPLETED
    assert not (await world.service.get(attacker.id)).state.is_final
    never.set()
    assert (await world.end_of(attacker)).state is RunState.COMPLETED


async def test_what_is_left_out_is_said(world: World, monkeypatch: pytest.MonkeyPatch):
    """Before the run's end, in its events."""
    monkeypatch.setattr("runtime.keeper.bounds.MAX_EVENTS", 2)

    async def ask(process: FakeProcess, head: dict[str, Any]) -> int:
        (sandbox_id,) = world.link.grants
        for _ in range(5):
            world.link.on_decision({"sandbox_id": sandbox_id, "verdict": "deny"})
        return 0

    world.agent = ask
    run = await world.run()
    events = [event async for event in world.service.events(run.id)]

    assert [e.kind for e in events if e.kind in {"decision", "omitted"}] == [
        "decision",
        "decision",
        "omitted",
        "omitted",
    ]
    assert [e.data for e in events if e.kind == "omitted"] == [{"decision": 1}, {"decision": 3}]
    lines = [(kind, data) for kind, _, data in world.audit.lines if "omitted" in kind]
    assert lines == [("decision.omitted", {"decisions": 10_000, "bytes": 3 << 20})]
    kinds = [kind for kind, _, _ in world.audit.lines]
    assert kinds.index("decision.omitted") < kinds.index("run.ended")


async def test_events_of_a_run_of_an_earlier_daemon(world: World):
    """A run whose events are gone still tells how it ended."""
    await world.store.create(Run("old", "a", "p", Isolation.RUNC, RunState.COMPLETED, 1.0, finished_at=2.0))
    event, end = [event async for event in world.service.events("old")]
    assert (event.kind, event.data, event.at) == ("state", {"state": "completed"}, 2.0)
    assert (end.seq, end.kind, end.data, end.at) == (2, "end", {"state": "completed"}, 2.0)


async def test_a_run_that_was_not_recorded_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch):
    """Its journal is made first, so that nobody who sees the run waits for its end in vain."""

    async def full(_run: Run, _also: object) -> None:
        raise NotReadyError("full")

    monkeypatch.setattr(world.store, "create", full)
    with pytest.raises(NotReadyError):
        await world.service.create(request())

    assert world.service._records._journals._by_run == {}


async def test_a_runs_end_wakes_whoever_waits_for_it(world: World):
    """By then its record is final."""
    world.agent = answer
    run = await world.service.create(request())
    await world.service.ended(run.id)

    assert (await world.service.get(run.id)).state is RunState.COMPLETED


async def test_recent_runs_come_newest_first(world: World):
    """The list starts with the last run."""
    world.agent = answer
    first, second = await world.run(), await world.run()
    assert [run.id for run in (await world.service.page(RunQuery(10))).items] == [second.id, first.id]


class FailingStore:
    """Makes a world's store refuse the ends of runs, so many times."""

    def __init__(self, world: World, times: float) -> None:
        self.left = times
        self.tried = 0
        self._update = world.store.update

    async def update(self, run: Run) -> None:
        """Refuse what is final, then take it."""
        if run.state.is_final:
            self.tried += 1
            if self.tried <= self.left:
                raise NotReadyError("the database does not answer")
        await self._update(run)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits between attempts."""
    monkeypatch.setattr("runtime.runs.records.RETRY_WAITS_S", (0.0,) * 4)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("times", [1, 4])
async def test_an_end_that_the_store_refuses_is_written_again(
    world: World, monkeypatch: pytest.MonkeyPatch, times: int
):
    """A store that is away for a moment loses no run's end, and nobody is told of it before it is written."""
    store = FailingStore(world, times)
    monkeypatch.setattr(world.store, "update", store.update)
    world.agent = answer

    run = await world.run()

    assert store.tried == times + 1
    assert (run.state, run.result.parse()) == (RunState.COMPLETED, {"answer": 42})
    assert world.store.runs[run.id] == run


@pytest.mark.usefixtures("at_once")
async def test_a_store_that_never_takes_an_end_leaves_no_run_running(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """After a bounded number of attempts every answer is the end, from memory; nothing waits for ever."""
    store = FailingStore(world, float("inf"))
    monkeypatch.setattr(world.store, "update", store.update)
    world.agent = answer

    run = await asyncio.wait_for(world.run(), 30)

    assert store.tried == 5
    assert world.store.runs[run.id].state is RunState.RUNNING
    assert (run.state, run.result.parse(), run.stderr) == (RunState.COMPLETED, {"answer": 42}, "working\n")
    assert run.finished_at is not None
    assert [found.state for found in (await world.service.page(RunQuery(10))).items] == [RunState.COMPLETED]
    told = [event.data.get("state") async for event in world.service.events(run.id)]
    assert told[-1] == "completed"
    with pytest.raises(ConflictError, match="completed"):
        await world.service.cancel(run.id)
    [folder] = world.keepers.left()  # the next daemon finds it there
    folder.remove()
    world.assert_nothing_left()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("is_back", [True, False])
async def test_a_daemon_that_stops_tries_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch, *, is_back: bool
):
    """What the store takes by then is kept; a store that is still away does not keep the daemon from closing."""
    store = FailingStore(world, 5 if is_back else float("inf"))
    monkeypatch.setattr(world.store, "update", store.update)
    world.agent = answer
    run = await world.run()

    await world.service.close()

    assert store.tried == 6
    assert world.store.runs[run.id].state is (RunState.COMPLETED if is_back else RunState.RUNNING)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("times", [6, 9])
async def test_an_end_is_written_in_the_background_once_the_store_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch, times: int
):
    """Without a restart: it is served from memory meanwhile, and tried again until it is taken."""
    monkeypatch.setattr("runtime.runs.records.REWRITE_S", 0.0)
    store = FailingStore(world, times)
    monkeypatch.setattr(world.store, "update", store.update)
    world.agent = answer

    run = await asyncio.wait_for(world.run(), 30)
    assert run.state is RunState.COMPLETED
    async with asyncio.timeout(30):
        while not world.store.runs[run.id].state.is_final:
            assert (await world.service.get(run.id)).state is RunState.COMPLETED
            await asyncio.sleep(0)

    assert store.tried == times + 1
    assert world.store.runs[run.id] == run == await world.service.get(run.id)


async def test_the_store_is_told_that_the_daemon_is_at_work(world: World, monkeypatch: pytest.MonkeyPatch):
    """At once and then every hour, also after a failure."""
    told = asyncio.Event()

    async def fail(_reason: str) -> int:
        told.set()
        raise OSError("disk full")

    monkeypatch.setattr("runtime.runs.records.TEND_S", 0.0)
    monkeypatch.setattr(world.store, "fail_abandoned", fail)
    records = Records(world.store)
    await records.start()
    for _ in range(2):
        await asyncio.wait_for(told.wait(), 30)
        told.clear()
    await records.close()


def test_the_waits_between_attempts_grow():
    """And end within ten seconds."""
    assert list(RETRY_WAITS_S) == sorted(set(RETRY_WAITS_S))
    assert sum(RETRY_WAITS_S) < 10


@pytest.mark.parametrize("state", [state for state in RunState if state.is_final])
async def test_a_run_becomes_final_in_one_way_only(state: RunState):
    """`advance` refuses every final state, and records nothing."""
    store = MemoryStore()
    record = await Records(store).open(Run("1", "a", "p", Isolation.RUNC, RunState.QUEUED, 0.0))

    with pytest.raises(ValueError, match="finish"):
        await record.advance(state)

    assert store.runs["1"].state is RunState.QUEUED


async def test_what_was_told_before_the_end_is_written_before_it(world: World):
    """A decision that is still being written when the agent ends is in the record before the end is."""
    order: list[str] = []
    add_decision, update = world.store.add_decision, world.store.update

    async def slow(run_id: str, line: DecisionLine) -> None:
        for _ in range(500):  # longer than the run's own end takes
            await asyncio.sleep(0)
        await add_decision(run_id, line)
        order.append("decision")

    async def note(run: Run) -> None:
        await update(run)
        order.append(run.state.value)

    async def ask(process: FakeProcess, head: dict[str, Any]) -> int:
        (sandbox_id,) = world.link.grants
        world.link.on_decision({"sandbox_id": sandbox_id, "verdict": "deny"})
        return 0

    world.store.add_decision, world.store.update = slow, note  # type: ignore[method-assign]
    world.agent = ask
    await world.run()

    assert order == ["starting", "running", "decision", "completed"]
