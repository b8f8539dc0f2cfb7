"""Work that a cancellation must not cut in two: clean-up, and calls that make something."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def uninterrupted[T](work: Awaitable[T]) -> T:
    """Await `work` to its end. A cancellation waits for that end, and goes on then."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
