"""Work that a cancellation must not cut in two: clean-up, and calls that make something."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog


async def uninterrupted[T](work: Awaitable[T]) -> T:
    """Await `work` to its end. A cancellation, or any number of them, waits for that end and goes on then."""
    task = asyncio.ensure_future(work)
    was_cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            was_cancelled = True
    if not was_cancelled:
        return task.result()
    if not task.cancelled():
        task.exception()  # the cancellation is what is told
    raise asyncio.CancelledError


async def clean_up(run_id: str, steps: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Try every step of a run's clean-up, uninterrupted, whatever became of the one before.

    What fails is logged, and reaped later.
    """
    await uninterrupted(_each(run_id, steps))


async def _each(run_id: str, steps: Sequence[Callable[[], Awaitable[None]]]) -> None:
    for step in steps:
        try:
            await step()
        except Exception as exc:  # noqa: BLE001 - the steps behind it still have to be done
            structlog.get_logger().error("clean-up-failed", run=run_id, error=type(exc).__name__)
