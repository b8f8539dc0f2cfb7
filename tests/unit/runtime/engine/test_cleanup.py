"""Every step of a clean-up is tried, whatever became of the others."""

from __future__ import annotations

import asyncio

import pytest

from runtime.engine.cleanup import clean_up


async def test_a_step_that_fails_keeps_no_other_from_being_tried():
    """In their order, the one behind the failure too, and nothing is raised."""
    tried = []

    async def step() -> None:
        tried.append(len(tried))
        if len(tried) == 1:
            raise OSError("no")

    await clean_up("run", [step, step, step])

    assert tried == [0, 1, 2]


async def test_a_cancellation_waits_for_all_steps():
    """What was begun is taken away before the cancellation is told."""
    go_on, tried = asyncio.Event(), []

    async def step() -> None:
        await go_on.wait()
        tried.append(len(tried))

    task = asyncio.create_task(clean_up("run", [step, step]))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert tried == [0, 1]
