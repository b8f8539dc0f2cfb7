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
