"""Work for a client, as long as the client is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from starlette.types import Receive


class Outcome(NamedTuple):
    """How it ended; neither means that the work was done, or the client gone."""

    is_cut: bool = False
    """Somebody else cancelled the work: the run is over."""
    error: BaseException | None = None


async def until_gone(
    work: Coroutine[Any, Any, None], receive: Receive, track: Callable[[asyncio.Task[None]], None]
) -> Outcome:
    """Run the work; cancel it, and so its upstream request, when the client hangs up."""
    working = asyncio.create_task(work)
    track(working)
    watching = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        is_gone = not working.done()
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)
    if working.cancelled():
        return Outcome(is_cut=not is_gone)
    return Outcome(error=working.exception())


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
