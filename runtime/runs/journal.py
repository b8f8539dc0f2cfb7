"""A run's events while it lasts and a while after: appended once, followed by any number of readers.

An agent paces them, so what is kept is bounded by number and by size: the oldest stay, and what came beyond
the bound is counted and said. Data is kept as JSON text, which is a fourth of what it takes as objects. A
result is never kept: it is in the run's record.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from typing import NamedTuple

from runtime.model.run import Event

MAX_EVENT_BYTES = 1 << 20
"""Of log text per run; beyond it one event says so and the rest is dropped."""
MAX_KEPT_BYTES = 3 << 20
"""Of a run's log events, and again of its decisions and LLM calls, in memory: each counts OVERHEAD_BYTES
and its JSON."""
MAX_EVENTS = 10_000
"""Decisions and LLM calls of a run; its log may have three times as many lines."""
OVERHEAD_BYTES = 100
MAX_FINISHED = 200
"""Finished runs whose events are kept."""
MAX_FINISHED_BYTES = 64 << 20
"""What the events of finished runs may take together."""
OMITTED = "omitted"
"""The kind of the event that says how many of each kind are missing."""
_OWN = frozenset({"state", "waiting", "error", "result", OMITTED})
"""Kinds that the runner tells, a handful for each run: never dropped."""


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
        self._log_chars = 0
        self._is_log_cut = False
        self._log_size = 0
        self._other_size = 0
        self._others = 0
        self._omitted: Counter[str] = Counter()
        self._news = asyncio.Condition()

    @property
    def events(self) -> list[Event]:
        """All that is kept."""
        return [self._event(index) for index in range(len(self._kept))]

    async def add(self, kind: str, data: dict[str, object]) -> None:
        """Append an event; one beyond a bound is counted instead (`say_omitted`), the log's with a note."""
        text = json.dumps(data, default=str)
        if kind == "log":
            if not self._has_room_for_log(data, len(text)):
                self._omitted[kind] += 1
                if self._is_log_cut:
                    return
                self._is_log_cut = True
                text = json.dumps({"text": f"[orchbox: log cut off after {self._log_limit()}]\n"})
        elif kind not in _OWN and not self._has_room(len(text)):
            self._omitted[kind] += 1
            return
        async with self._news:
            self._kept.append(_Kept(kind, text, time.time()))
            self.size += len(text) + OVERHEAD_BYTES
            self._news.notify_all()

    async def say_omitted(self) -> None:
        """Tell how many events of each kind were beyond the bounds, where any were."""
        if self._omitted:
            await self.add(OMITTED, dict(self._omitted))

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
                while len(self._kept) <= seen and not self.is_closed:
                    await self._news.wait()
                until = len(self._kept)
            if until <= seen:
                return
            while seen < until:
                event = self._event(seen)
                seen = event.seq
                yield event

    def _has_room_for_log(self, data: dict[str, object], size: int) -> bool:
        if self._is_log_cut:
            return False
        self._log_chars += len(str(data.get("text", "")))
        self._log_size += size + OVERHEAD_BYTES
        return self._log_chars <= MAX_EVENT_BYTES and self._log_size <= MAX_KEPT_BYTES

    def _log_limit(self) -> str:
        return f"{MAX_EVENT_BYTES} bytes" if self._log_chars > MAX_EVENT_BYTES else "so many lines"

    def _has_room(self, size: int) -> bool:
        """Once full it stays so: no later event stands where an earlier one is missing."""
        self._others += 1
        self._other_size += size + OVERHEAD_BYTES
        return self._others <= MAX_EVENTS and self._other_size <= MAX_KEPT_BYTES

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

    def get(self, run_id: str) -> Journal | None:
        """The journal, where it is still kept."""
        return self._by_run.get(run_id)
