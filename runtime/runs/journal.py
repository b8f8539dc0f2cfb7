"""A run's events while it lasts and a while after: appended once, followed by any number of readers."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator

from runtime.model.run import Event

MAX_EVENT_BYTES = 1 << 20
"""Of log text per run; beyond it one event says so and the rest is dropped."""
MAX_FINISHED = 200
"""Finished runs whose events are kept."""


class Journal:
    """The events of one run."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.is_closed = False
        self._log_bytes = 0
        self._news = asyncio.Condition()

    async def add(self, kind: str, data: dict[str, object]) -> None:
        """Append an event; log text beyond the bound is dropped with one note."""
        if kind == "log":
            before = self._log_bytes
            self._log_bytes += len(str(data.get("text", "")))
            if self._log_bytes > MAX_EVENT_BYTES:
                if before > MAX_EVENT_BYTES:
                    return
                data = {"text": f"[orchbox: log cut off after {MAX_EVENT_BYTES} bytes]\n"}
        async with self._news:
            self.events.append(Event(len(self.events) + 1, kind, data, time.time()))
            self._news.notify_all()

    async def close(self) -> None:
        """No event comes after this."""
        async with self._news:
            self.is_closed = True
            self._news.notify_all()

    async def follow(self, after: int) -> AsyncIterator[Event]:
        """The events behind number `after`, until the journal is closed."""
        seen = after
        while True:
            async with self._news:
                while len(self.events) <= seen and not self.is_closed:
                    await self._news.wait()
                fresh = self.events[seen:]
            for event in fresh:
                seen = event.seq
                yield event
            if not fresh:
                return


class Journals:
    """The journals of all runs, finished ones up to a bound."""

    def __init__(self) -> None:
        self._by_run: OrderedDict[str, Journal] = OrderedDict()

    def open(self, run_id: str) -> Journal:
        """A new run's journal; the oldest finished ones give way."""
        for old in [i for i, j in self._by_run.items() if j.is_closed][:-MAX_FINISHED]:
            del self._by_run[old]
        return self._by_run.setdefault(run_id, Journal())

    def get(self, run_id: str) -> Journal | None:
        """The journal, where it is still kept."""
        return self._by_run.get(run_id)
