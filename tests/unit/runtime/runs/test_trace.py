"""runtime.runs.trace: a run's phases follow one another, whatever became of it; and the real runs note them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.engine.fake_programs import FakeProcess
from runtime.errors import StoppingError
from runtime.model.limits import Isolation
from runtime.model.run import Run, RunState, RunSummary
from runtime.runs.trace import ENDED, MADE, MAX_DECISIONS, NETWORK, RUNNING, TURN, RunTrace, TraceNotes
from tests.unit.runtime.run_world import World, answer, hang, request


def summary(started_at: float | None = None) -> RunSummary:
    """A run that was accepted at 100 s."""
    run = Run("1", "a", "p", Isolation.RUNC, RunState.FAILED, 100.0, started_at=started_at)
    return run.summary()


def phases(times: dict[str, float], *, started_at: float | None = None) -> list[tuple[str, float, float]]:
    """Those of a run that was recorded as final at 200 s."""
    notes = TraceNotes()
    for what, at in times.items():
        notes.note(what, at)
    return [(phase.name, phase.start, phase.end) for phase in notes.trace(summary(started_at), 200.0).phases]


WHOLE = {TURN: 110.0, NETWORK: 112.0, MADE: 115.0, RUNNING: 116.0, ENDED: 190.0}


def test_phases_follow_one_another():
    """From its acceptance to its record."""
    assert phases(WHOLE) == [
        ("queue", 100, 110),
        ("slot", 110, 112),
        ("create", 112, 115),
        ("start", 115, 116),
        ("agent", 116, 190),
        ("clean-up", 190, 200),
    ]


@pytest.mark.parametrize(("known", "last"), [(0, "queue"), (1, "slot"), (2, "create"), (3, "start")])
def test_a_run_that_does_not_come_far_ends_where_it_was(known: int, last: str):
    """At the end that its keeper tells, or without one at its record."""
    times = dict(list(WHOLE.items())[:known])
    assert phases(times)[-1] == (last, list({"x": 100.0, **times}.values())[-1], 200)
    ended = phases({**times, ENDED: 195.0})
    assert ended[-2:] == [(last, list({"x": 100.0, **times}.values())[-1], 195), ("clean-up", 195, 200)]


def test_of_an_adopted_run_only_the_agent_is_known():
    """An earlier daemon saw the rest."""
    assert phases({ENDED: 190.0}, started_at=120.0) == [("agent", 120, 190), ("clean-up", 190, 200)]


def test_no_phase_ends_before_it_begins():
    """A clock may be set back meanwhile."""
    assert all(start <= end for _, start, end in phases({TURN: 90.0, ENDED: 80.0}))


def test_decisions_are_bounded():
    """The others are counted, also those that a line stands for."""
    notes = TraceNotes()
    for number in range(MAX_DECISIONS + 2):
        notes.add_decision({"at": number, "suppressed": 5 if number == MAX_DECISIONS else 0})
    trace = notes.trace(summary(), 200.0)
    assert (len(trace.decisions), trace.omitted_decisions) == (MAX_DECISIONS, 6)


async def test_a_real_run_notes_each_phase(world: World):
    """In order, with the proxy's decisions; it is handed over once, when the run is final."""

    async def ask(process: FakeProcess, head: dict[str, Any]) -> int:
        [(sandbox_id, worker)] = world.link.workers.items()
        worker.on_decision({"sandbox_id": sandbox_id, "verdict": "deny", "at": 1.0})
        return await answer(process, head)

    traces: list[RunTrace] = []
    world.service.records.on_end = traces.append
    world.agent = ask
    run = await world.run()

    [trace] = traces
    names = [phase.name for phase in trace.phases]
    assert names == ["queue", "slot", "create", "start", "agent", "clean-up"]
    assert all(a.end == b.start for a, b in zip(trace.phases, trace.phases[1:], strict=False))
    assert (trace.run.id, trace.run.state, trace.phases[-1].end) == (run.id, RunState.COMPLETED, trace.end)
    assert [line["verdict"] for line in trace.decisions] == ["deny"]


async def test_a_run_that_is_cancelled_while_it_waits_was_in_the_queue(world: World):
    """Until its end."""
    traces: list[RunTrace] = []
    world.service.records.on_end = traces.append
    world.agent = hang
    first = await world.service.create(request())
    await world.until_running(first)
    limits = type(request().limits)(timeout_s=60, memory_bytes=(await world.engine.info()).memory_bytes)
    second = await world.service.create(request(limits=limits))
    await world.service.cancel(second.id)
    assert [phase.name for phase in traces[0].phases] == ["queue"]


async def test_a_trace_that_fails_keeps_no_run_from_its_end(world: World):
    """Whatever goes wrong with it."""

    def fail(_trace: RunTrace) -> None:
        raise StoppingError("no", retry_after_s=1)

    world.service.records.on_end = fail
    world.agent = answer
    run = await asyncio.wait_for(world.run(), 60)
    assert run.state is RunState.COMPLETED


async def test_without_a_collector_nothing_is_kept(world: World):
    """No line is held for nobody."""
    world.agent = hang
    run = await world.service.create(request())
    await world.until_running(run)
    [(sandbox_id, worker)] = world.link.workers.items()
    worker.on_decision({"sandbox_id": sandbox_id, "verdict": "deny"})
    async for event in world.service.events(run.id):
        if event.kind == "decision":
            break
    assert world.service.records._living[run.id]._trace._decisions == []
