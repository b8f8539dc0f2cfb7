"""The clean-up behind a run: every step of it is tried."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog

from runtime.engine.uninterrupted import uninterrupted


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
