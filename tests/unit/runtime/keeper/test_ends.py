"""Runs that are ended from outside: each with its reason, whatever it was doing."""

from __future__ import annotations

import asyncio

import pytest

from runtime.errors import NotReadyError
from runtime.keeper.ends import CANCELLED, GUARD_LOST, NETWORK_CHANGED, NETWORK_UNKNOWN, PROXY_LOST, Ends
from runtime.model.limits import Limits
from runtime.model.run import Run, RunError, RunState
from tests.unit.runtime.run_world import World, answer, hang, request, stubborn


async def test_a_run_that_is_ended_before_its_first_step_still_ends(world: World):
    """The proxy's loss in the very moment of creation leaves no run that is queued for ever."""
    world.agent = answer
    run = await world.service.create(request())
    world.link.lose()
    final = await world.end_of(run)
    assert (final.state, final.error and final.error.code) == (RunState.FAILED, "PROXY_LOST")
    world.assert_nothing_left()


async def test_a_cancellation_that_comes_too_late_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """A run that is being recorded as completed stays completed, and cancel says how it ended."""
    finishing, go_on = asyncio.Event(), asyncio.Event()
    original = world.store.update

    async def update(run: Run) -> None:
        if run.state.is_final:
            finishing.set()
            await go_on.wait()
        await original(run)

    monkeypatch.setattr(world.store, "update", update)
    world.agent = answer
    run = await world.service.create(request())
    await finishing.wait()
    cancelling = asyncio.create_task(world.service.cancel(run.id))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not cancelling.done()
    go_on.set()
    assert (await cancelling).state is RunState.COMPLETED


async def test_the_proxy_is_lost_while_it_runs(world: World):
    """Every running run ends with PROXY_LOST and a sentence; nothing is left."""
    world.agent = hang
    runs = [await world.service.create(request()) for _ in range(2)]
    for run in runs:
        await world.until_running(run)
    world.link.lose()
    for run in runs:
        final = await world.end_of(run)
        assert final.state is RunState.FAILED
        assert final.error is not None
        assert final.error.code == "PROXY_LOST"
        assert "no way out" in final.error.message
    world.assert_nothing_left()


async def test_a_lost_guard_ends_every_run_at_once(world: World):
    """No grace: an agent that ignores SIGTERM would reach the host meanwhile. No new run starts."""
    world.agent = stubborn
    runs = [await world.service.create(request(limits=Limits(grace_s=60))) for _ in range(2)]
    for run in runs:
        await world.until_running(run)

    world.guard.lose()

    for run in runs:
        final = await asyncio.wait_for(world.end_of(run), 30)
        assert (final.state, final.error and final.error.code) == (RunState.FAILED, "GUARD_LOST")
    with pytest.raises(NotReadyError, match="changed or removed"):
        await world.service.create(request())
    world.assert_nothing_left()


async def test_a_guard_lost_with_the_engine_is_told_and_what_is_left_is_reaped(world: World):
    """An engine that restarts takes the watcher with it: the run says why, and nothing survives the return."""
    world.agent = hang
    run = await world.service.create(request())
    await world.until_running(run)

    world.engine.is_down = True
    world.guard.lose()
    final = await asyncio.wait_for(world.end_of(run), 30)
    world.engine.is_down = False

    assert (final.state, final.error and final.error.code) == (RunState.FAILED, "GUARD_LOST")
    assert len(world.engine.by_name) == 2
    await world.service.reap()
    world.assert_nothing_left()


async def test_close_ends_every_run(world: World):
    """A daemon that stops leaves no sandbox and no open run."""
    world.agent = hang
    run = await world.service.create(request())
    await world.until_running(run)
    await world.service.close()
    final = await world.service.get(run.id)
    assert (final.state, final.error and final.error.message) == (
        RunState.CANCELLED,
        "the daemon was stopped",
    )
    world.assert_nothing_left()


async def idle() -> None:
    """A run's task."""
    await asyncio.Event().wait()


async def test_the_first_reason_stays():
    """A run that is being ended for one reason is not ended for another."""
    ends = Ends()
    ends.watch("1", asyncio.create_task(idle()))
    ends.begin("1")
    ends.end("1", PROXY_LOST)
    ends.end("1", CANCELLED)

    assert ends.why("1") is PROXY_LOST
    await ends.wait("1")


async def test_only_a_task_that_has_begun_is_interrupted():
    """Before its first step and once it is being recorded a run's end is noted, and no more."""
    ends = Ends()
    early, late = asyncio.create_task(idle()), asyncio.create_task(idle())
    ends.watch("early", early)
    ends.watch("late", late)
    ends.begin("late")
    ends.leave("late")
    ends.end_all(GUARD_LOST)
    await asyncio.sleep(0)

    assert not early.cancelling()
    assert not late.cancelling()
    assert ends.why("early") is ends.why("late") is GUARD_LOST
    with pytest.raises(asyncio.CancelledError):
        ends.begin("early")
    early.cancel()
    late.cancel()
    await ends.close()


async def test_a_run_that_is_over_is_not_ended():
    """Nothing is kept of it."""
    ends = Ends()
    task = asyncio.create_task(idle())
    ends.watch("1", task)
    ends.begin("1")
    ends.forget("1")
    ends.end("1", CANCELLED)
    await ends.wait("1")

    assert "1" not in ends
    assert not task.cancelling()
    task.cancel()


@pytest.mark.parametrize(
    ("error", "grace_s"),
    [(CANCELLED, 5.0), (PROXY_LOST, 5.0), (GUARD_LOST, 0.0), (NETWORK_CHANGED, 0.0), (NETWORK_UNKNOWN, 0.0)],
)
async def test_no_grace_where_the_sandbox_may_reach_what_it_must_not(error: RunError, grace_s: float):
    """An agent that ignores SIGTERM would go on meanwhile."""
    ends = Ends()
    task = asyncio.create_task(idle())
    ends.watch("1", task)
    ends.note("1", error)

    assert ends.grace_s("1", 5.0) == grace_s
    task.cancel()
