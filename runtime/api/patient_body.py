"""A body that comes in its time, from a caller that may still call when it has come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Message, Receive

STALL_S = 30.0
"""Without another byte."""
BODY_S = 900.0
"""For all of it: the largest run there may be, 105 MiB, at a megabit per second."""


class PatientBody:
    """The `receive` of a request that changes something. One that does not come is as a caller that left."""

    def __init__(self, receive: Receive, check: Callable[[], Awaitable[object]]) -> None:
        """`check` is awaited when the body is there, before the route has its end; it raises OrchError."""
        self._receive = receive
        self._check = check
        self._ends_at = asyncio.get_running_loop().time() + BODY_S
        self._is_whole = False
        self._has_left = False

    async def __call__(self) -> Message:
        """The next part, or that the caller left."""
        if self._is_whole:
            return await self._receive()
        if not self._has_left:
            left_s = self._ends_at - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(min(STALL_S, left_s)):
                    message = await self._receive()
            except TimeoutError:
                self._has_left = True
            else:
                if message["type"] == "http.request" and not message.get("more_body", False):
                    await self._check()
                    self._is_whole = True
                return message
        return {"type": "http.disconnect"}
