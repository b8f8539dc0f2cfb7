"""The lookups of a sandbox that are under way: equal ones are joined, and there are so many at one time.

A name that never answers holds up nothing but its own lookup, and that for a bounded time.
"""

from __future__ import annotations

import asyncio

from proxy.destination.resolve import RESOLVE_TIMEOUT_S, Lookup, NotDialableError
from proxy.policy.limits import MAX_LOOKUPS
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import deny

_TOO_MANY = deny(ReasonCode.BUDGET_REQUESTS, "too many of this sandbox's lookups are under way")


class SharedLookups:
    """A Lookup over another one."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._under_way: dict[str, asyncio.Task[list[str]]] = {}

    async def __call__(self, host: str) -> list[str]:
        """The addresses of a name.

        Raises OSError or TimeoutError where there is no answer, NotDialableError for one too many.
        """
        asking = self._under_way.get(host)
        if asking is None:
            if len(self._under_way) >= MAX_LOOKUPS:
                raise NotDialableError(_TOO_MANY)
            asking = asyncio.create_task(self._ask(host), name=host)
            self._under_way[host] = asking
            asking.add_done_callback(self._forget)  # mitmproxy's tasks are eager: it may be done by now
        return await asyncio.shield(asking)  # who goes away leaves it to the others

    async def _ask(self, host: str) -> list[str]:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            return await self._lookup(host)

    def _forget(self, asked: asyncio.Task[list[str]]) -> None:
        self._under_way.pop(asked.get_name(), None)
        if not asked.cancelled():
            asked.exception()  # nobody may be left to hear it

    def __len__(self) -> int:
        return len(self._under_way)
