"""Requests that wait: until what they wait for, or the client goes away, or the daemon stops."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive


class Waits:
    """All requests of one API that wait."""

    def __init__(self) -> None:
        self._ending = asyncio.Event()

    def end(self) -> None:
        """The daemon stops: whoever waits is answered now, and nobody waits from here on."""
        self._ending.set()

    async def wait(self, what: Coroutine[Any, Any, None], receive: Receive, *, limit_s: float) -> bool:
        """Wait for it, for so long at most; whether the client is still there. Nothing is left behind."""
        gone = asyncio.create_task(_disconnected(receive))
        tasks = {asyncio.create_task(what), asyncio.create_task(self._ending.wait()), gone}
        try:
            await asyncio.wait(tasks, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            return not gone.done()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
