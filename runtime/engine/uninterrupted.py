"""Work that a cancellation must not cut in two: clean-up, and calls that make something."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


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
