"""A cancellation waits for what must not be cut in two."""

from __future__ import annotations

import asyncio

import pytest

from runtime.engine.uninterrupted import uninterrupted


async def test_result_and_error_pass_through():
    """Without a cancellation it is an ordinary await."""

    async def fail() -> None:
        raise ValueError("no")

    assert await uninterrupted(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(ValueError, match="no"):
        await uninterrupted(fail())


@pytest.mark.parametrize("fails", [False, True], ids=["that succeeds", "that fails"])
async def test_a_cancellation_waits_for_work(fails: bool):
    """The work is done before the cancellation is seen, and its own error does not replace it."""
    go_on, done = asyncio.Event(), []

    async def work() -> None:
        await go_on.wait()
        done.append(True)
        if fails:
            raise ValueError("no")

    task = asyncio.create_task(uninterrupted(work()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True]


@pytest.mark.parametrize("times", [2, 3, 10])
async def test_further_cancellations_wait_too(times: int):
    """Who asks twice does not cut it either."""
    go_on, done = asyncio.Event(), []

    async def work() -> None:
        await go_on.wait()
        done.append(True)

    task = asyncio.create_task(uninterrupted(work()))
    for _ in range(times):
        await asyncio.sleep(0)
        task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True]


async def test_a_time_limit_is_told_after_the_end():
    """A timeout around it comes as one, once the work is done."""
    done = []

    async def work() -> None:
        await asyncio.sleep(0.05)
        done.append(True)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await uninterrupted(work())
    assert done == [True]


async def test_work_that_is_cancelled_by_itself():
    """Its own cancellation is a result like another."""

    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await uninterrupted(work())
