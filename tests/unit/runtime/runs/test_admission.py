"""A host's memory admits runs: the others wait in order, can be cancelled, and are refused where they never fit."""

from __future__ import annotations

import asyncio

import pytest

from runtime.errors import InvalidInputError, NotReadyError
from runtime.model.limits import Limits
from runtime.model.run import Run, RunState
from runtime.runs import admission as admission_module
from runtime.runs.admission import Admission, Ticket
from tests.unit.runtime.run_world import World, answer, hang, request

GIB = 1 << 30


def ticket(admission: Admission, memory: int, *, payload: int = 0, host: int = 10) -> Ticket:
    """A place for a run of this memory, on a host with `host` bytes."""
    return admission.queue(memory_bytes=memory, payload_bytes=payload, host_bytes=host)


def working(*tickets: Ticket) -> list[bool]:
    """Which of them are admitted."""
    return [one.ahead is None for one in tickets]


def test_as_many_work_as_fit_and_the_rest_moves_up():
    """In the order in which they came."""
    admission = Admission(percent=100)
    runs = [ticket(admission, 4) for _ in range(4)]

    assert working(*runs) == [True, True, False, False]
    assert [one.ahead for one in runs] == [None, None, 0, 1]
    runs[1].leave()
    assert working(*runs[:1], *runs[2:]) == [True, True, False]
    runs[0].leave()
    runs[0].leave()
    assert working(*runs[2:]) == [True, True]


@pytest.mark.parametrize("percent", [50, 100, 250])
def test_the_share_counts(percent: int):
    """Of the host's memory, also over a hundred."""
    admission = Admission(percent=percent)
    runs = [ticket(admission, 1) for _ in range(30)]

    assert sum(working(*runs)) == 10 * percent // 100


def test_a_small_run_does_not_pass_a_large_one():
    """Or the large one would wait for ever."""
    admission = Admission(percent=100)
    first, large, small = ticket(admission, 6), ticket(admission, 8), ticket(admission, 1)

    assert working(first, large, small) == [True, False, False]
    large.leave()  # cancelled while it waits
    assert working(first, small) == [True, True]


@pytest.mark.parametrize(("memory", "host"), [(11, 10), (1, 0)])
def test_what_can_never_fit_is_refused(memory: int, host: int):
    """At once, with both numbers and the setting; nothing fits on a host that says nothing of its memory."""
    admission = Admission(percent=100)
    with pytest.raises(InvalidInputError, match="more than all sandboxes may have") as told:
        ticket(admission, memory, host=host)

    assert "ORCHBOX_MEMORY_PERCENT" in (told.value.hint or "")


def test_who_waits_is_let_in_alone_on_a_host_that_has_shrunk():
    """It fitted when it came, and nobody else is there whom it could hurt."""
    admission = Admission(percent=100)
    first, second = ticket(admission, 8), ticket(admission, 8)
    small = ticket(admission, 2, host=4)
    first.leave()

    assert working(second, small) == [True, False]


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch):
    """By number, and by what it holds in the daemon's memory; a single one of any size may wait."""
    monkeypatch.setattr(admission_module, "MAX_WAITING", 3)
    monkeypatch.setattr(admission_module, "MAX_WAITING_BYTES", 100)
    admission = Admission(percent=100)
    ticket(admission, 10)
    ticket(admission, 10, payload=200).leave()
    ticket(admission, 10, payload=60)
    with pytest.raises(NotReadyError, match="wait for memory already"):
        ticket(admission, 10, payload=60)
    ticket(admission, 10)
    ticket(admission, 10)
    with pytest.raises(NotReadyError, match="3 runs wait"):
        ticket(admission, 10)


async def start(world: World, count: int, **more: object) -> list[Run]:
    """So many runs of 32 GiB, two of which fit into the world's 64."""
    limits = Limits(timeout_s=5, grace_s=0.05, memory_bytes=32 * GIB)
    return [await world.service.create(request(limits=limits, **more)) for _ in range(count)]


async def states(world: World, runs: list[Run]) -> list[str]:
    """Where they stand."""
    return [(await world.service.get(run.id)).state.value for run in runs]


async def test_runs_wait_as_queued_and_start_in_order(world: World):
    """They hold no network meanwhile, their story says that they wait, and all of them are right in the end."""
    world.agent = hang
    runs = await start(world, 5)
    for run in runs[:2]:
        await world.until_running(run)
    for _ in range(50):
        await asyncio.sleep(0)
    assert await states(world, runs) == ["running", "running", "queued", "queued", "queued"]
    assert len(world.engine.by_network) == 3

    world.agent = answer
    for run in runs[:2]:
        await world.service.cancel(run.id)
    ended = [await world.end_of(run) for run in runs[2:]]
    told = [event.data async for event in world.service.events(runs[4].id) if event.kind == "waiting"]

    assert {run.state for run in ended} == {RunState.COMPLETED}
    assert [run.started_at for run in ended] == sorted(run.started_at or 0 for run in ended)
    assert told == [{"ahead": 2}]
    world.assert_nothing_left()


async def test_a_run_that_waits_can_be_cancelled(world: World):
    """It never started; those behind it move up, and the daemon's end ends the others too."""
    world.agent = hang
    runs = await start(world, 5)
    cancelled = await world.service.cancel(runs[3].id)

    assert (cancelled.state, cancelled.started_at) == (RunState.CANCELLED, None)
    assert await states(world, runs[4:]) == ["queued"]
    await world.service.close()
    ends = [world.store.runs[run.id] for run in runs]
    assert {(run.state.value, run.error and run.error.code) for run in ends[4:]} == {
        ("cancelled", "CANCELLED")
    }
    world.assert_nothing_left()


@pytest.mark.parametrize("failing", ["create_network", "create", "start"])
async def test_a_run_that_fails_gives_its_place_back(world: World, failing: str):
    """Whatever it fails by, the next ones start."""

    async def refuse(call: str) -> None:
        if call == failing:
            raise OSError("broken")

    world.engine.before = refuse
    for run in await start(world, 4):
        assert (await world.end_of(run)).state is RunState.FAILED
    world.engine.before = None
    world.agent = answer
    for run in await start(world, 4):
        assert (await world.end_of(run)).state is RunState.COMPLETED


async def test_a_run_that_is_not_recorded_takes_no_place(world: World, monkeypatch: pytest.MonkeyPatch):
    """A database that is away refuses runs; their memory is free."""

    async def refuse(_run: Run, _also: object) -> None:
        raise NotReadyError("the database does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "create", refuse)
        for _ in range(3):
            with pytest.raises(NotReadyError):
                await start(world, 1)
    world.agent = answer
    for run in await start(world, 2):
        assert (await world.end_of(run)).state is RunState.COMPLETED


async def test_a_run_that_never_fits_is_refused_at_once(world: World):
    """With a sentence, and without a record."""
    with pytest.raises(InvalidInputError, match="more than all sandboxes may have"):
        await world.service.create(request(limits=Limits(memory_bytes=65 * GIB)))
    assert world.store.runs == {}
