"""runtime.runs.figures: what is counted of runs, in a bounded number of words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.policy.model import Verdict
from proxy.policy.reasons import ReasonCode
from runtime.engine.fake_programs import FakeProcess
from runtime.model.run import RunError, RunState
from runtime.runs.figures import CODES, REASONS, RunFigures
from tests.unit.runtime.run_world import World, answer, hang, request


async def test_a_run_is_counted_where_it_is(world: World):
    """By its state while it lives, and by its end once it has none; how long it waited and started, too."""
    world.agent = hang
    records = world.service.records
    run = await world.service.create(request())
    assert sum(records.states.values()) == 1
    await world.until_running(run)
    assert records.states == {RunState.RUNNING: 1}
    for histogram in (records.figures.queue_s, records.figures.start_s):
        assert histogram.cumulative[-1][1] == 1

    await world.service.cancel(run.id)

    assert sum(records.states.values()) == 0
    assert records.figures.ended == {("cancelled", "CANCELLED"): 1}


async def test_the_reason_of_an_end_is_counted(world: World):
    """A run that completed has none; one that lost its guard has that."""
    world.agent = answer
    await world.run()
    world.agent = hang
    run = await world.service.create(request())
    await world.until_running(run)
    world.guard.lose()
    await world.end_of(run)

    assert world.service.records.figures.ended == {("completed", "none"): 1, ("failed", "GUARD_LOST"): 1}


async def test_the_proxys_decisions_are_counted(world: World):
    """By verdict and code; a line that stands for many refusals counts as so many."""

    async def ask(process: FakeProcess, head: dict[str, Any]) -> int:
        [(sandbox_id, worker)] = world.link.workers.items()
        refused = {"verdict": "deny", "reason_code": "not_allowed_host", "suppressed": 0}
        for line in (
            {"verdict": "allow", "reason_code": None, "suppressed": 0},
            refused,
            {**refused, "suppressed": 7},
        ):
            worker.on_decision({"sandbox_id": sandbox_id, **line})
        return 0

    world.agent = ask
    await world.run()

    counted = {("allow", "none"): 1, ("deny", "not_allowed_host"): 8}
    assert world.service.records.figures.decisions == counted


async def test_a_run_that_waits_is_queued(world: World):
    """Its state says so, and its wait is counted only once it is over."""
    world.agent = hang
    memory = (await world.engine.info()).memory_bytes
    first = await world.service.create(request())
    await world.until_running(first)
    limits = request().limits
    big = type(limits)(timeout_s=60, grace_s=0.05, memory_bytes=memory)
    second = await world.service.create(request(limits=big))
    while len([e async for e in _told(world, second.id, 2)]) < 2:
        await asyncio.sleep(0)

    records = world.service.records
    assert records.states == {RunState.RUNNING: 1, RunState.QUEUED: 1}
    assert records.figures.queue_s.cumulative[-1][1] == 1
    assert world.service.admission.used_bytes == limits.memory_bytes
    assert world.service.admission.free_bytes == memory - limits.memory_bytes


async def _told(world: World, run_id: str, number: int) -> Any:
    async for event in world.service.events(run_id):
        yield event
        if event.seq >= number:
            return


@pytest.mark.parametrize("count", [1, 1000])
def test_nothing_that_others_choose_makes_the_counts_grow(count: int):
    """Unknown words count as `other`, whatever they are and however many."""
    figures = RunFigures()
    for number in range(count):
        figures.count_end(RunState.FAILED, RunError(f"MADE_UP_{number}", "x"))
        figures.count_decision({"verdict": f"v{number}", "reason_code": f"c{number}", "suppressed": 0})

    assert figures.ended == {("failed", "other"): count}
    assert figures.decisions == {("other", "other"): count}


def test_every_word_that_we_use_is_known():
    """None of ours is counted as `other`."""
    figures = RunFigures()
    for code in CODES:
        figures.count_decision({"verdict": "deny", "reason_code": code, "suppressed": 0})
    for code in REASONS:
        figures.count_end(RunState.FAILED, RunError(code, "x"))

    assert {code for _, code in figures.decisions} == {code.value for code in ReasonCode}
    assert {verdict for verdict, _ in figures.decisions} == {Verdict.DENY.value}
    assert "other" not in {reason for _, reason in figures.ended}
    assert {"SANDBOX_TIMEOUT", "GUARD_LOST", "CANCELLED"} <= REASONS
