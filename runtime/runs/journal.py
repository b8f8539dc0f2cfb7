"""A run's events while it lasts and a while after: appended once, followed by any number of readers.

The run's keeper bounds them (`keeper.bounds`). Data is kept as JSON text, which is a fourth of what it takes
as objects. A result is never kept: it is in the run's record.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import NamedTuple

from runtime.keeper.bounds import OVERHEAD_BYTES
from runtime.model.run import Event

MAX_FINISHED = 200
"""Finished runs whose events are kept."""
MAX_FINISHED_BYTES = 64 << 20
"""What the events of finished runs may take together."""


class _Kept(NamedTuple):
    kind: str
    data: str
    at: float


class Journal:
    """The events of one run."""

    def __init__(self) -> None:
        self.is_closed = False
        self.size = 0
        """Bytes that the events take, roughly."""
        self._kept: list[_Kept] = []
        self._news = asyncio.Condition()

    @property
    def events(self) -> list[Event]:
        """All that is kept."""
        return [self._event(index) for index in range(len(self._kept))]

    async def add(self, kind: str, data: dict[str, object], at: float | None = None) -> None:
        """Append an event, of now where `at` (epoch seconds) is not given."""
        text = json.dumps(data, default=str)
        async with self._news:
            self._kept.append(_Kept(kind, text, time.time() if at is None else at))
            self.size += len(text) + OVERHEAD_BYTES
            self._news.notify_all()

    async def close(self) -> None:
        """No event comes after this."""
        async with self._news:
            self.is_closed = True
            self._news.notify_all()

    @property
    def count(self) -> int:
        """How many events there are; the number of the last one."""
        return len(self._kept)

    async def closed(self) -> None:
        """Wait until no event comes any more."""
        async with self._news:
            await self._news.wait_for(lambda: self.is_closed)

    async def follow(self, after: int) -> AsyncIterator[Event]:
        """The events behind number `after`, until the journal is closed."""
        seen = after
        while True:
            async with self._news:
                while len(self._kept) <= seen and not self.is_closed:
                    await self._news.wait()
                until = len(self._kept)
            if until <= seen:
                return
            while seen < until:
                event = self._event(seen)
                seen = event.seq
                yield event

    def _event(self, index: int) -> Event:
        kept = self._kept[index]
        return Event(index + 1, kept.kind, json.loads(kept.data), kept.at)


class Journals:
    """The journals of all runs, finished ones up to a number and a size."""

    def __init__(self) -> None:
        self._by_run: OrderedDict[str, Journal] = OrderedDict()

    def open(self, run_id: str) -> Journal:
        """A new run's journal; the oldest finished ones give way."""
        finished = [i for i, journal in self._by_run.items() if journal.is_closed]
        size = sum(self._by_run[old].size for old in finished)
        for number, old in enumerate(finished):
            if len(finished) - number <= MAX_FINISHED and size <= MAX_FINISHED_BYTES:
                break
            size -= self._by_run.pop(old).size
        return self._by_run.setdefault(run_id, Journal())

    def discard(self, run_id: str) -> None:
        """A run that was not recorded after all has no journal."""
        self._by_run.pop(run_id, None)

    def get(self, run_id: str) -> Journal | None:
        """The journal, where it is still kept."""
        return self._by_run.get(run_id)
