"""Events: replayed and followed; those of finished runs give way."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from runtime.keeper.bounds import OVERHEAD_BYTES
from runtime.runs import journal as journal_module
from runtime.runs.journal import MAX_FINISHED, Journal, Journals


async def collect(journal: Journal, after: int = 0) -> list[tuple[int, str]]:
    """All events of a journal until it is closed."""
    return [(event.seq, event.kind) async for event in journal.follow(after)]


async def test_follow_replays_and_then_waits():
    """A reader gets what was before it and what comes, numbered from 1, and ends with the journal."""
    journal = Journal()
    await journal.add("state", {"state": "queued"})
    reading = asyncio.create_task(collect(journal))
    await asyncio.sleep(0)
    await journal.add("log", {"text": "x"})
    await journal.close()
    assert await reading == [(1, "state"), (2, "log")]


async def test_follow_after_a_number():
    """Last-Event-ID skips what the reader has."""
    journal = Journal()
    for _ in range(3):
        await journal.add("log", {"text": "x"})
    await journal.close()
    assert await collect(journal, after=2) == [(3, "log")]
    assert await collect(journal, after=99) == []


async def test_a_journals_end_is_waited_for():
    """By the word of whoever closes it; one that is closed already is not waited for."""
    journal = Journal()
    waiting = asyncio.create_task(journal.closed())
    await journal.add("log", {"text": "x"})
    await asyncio.sleep(0)
    assert not waiting.done()
    await journal.close()
    await waiting
    await journal.closed()
    assert journal.count == 1


async def test_an_event_of_another_time_keeps_it():
    """What a keeper told while there was no daemon happened then."""
    journal = Journal()
    await journal.add("log", {"text": "x"}, 12.5)
    assert journal.events[0].at == 12.5


async def test_an_event_is_kept_as_little_more_than_its_text():
    """What a decision takes in memory is near to what is counted for it."""
    line = {f"name{n}": f"value {n}" for n in range(15)}
    journal = Journal()
    tracemalloc.start()
    for n in range(1000):
        await journal.add("decision", {**line, "n": n})
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert taken <= journal.size + 1000 * OVERHEAD_BYTES


async def test_finished_journals_give_way_by_size_too(monkeypatch: pytest.MonkeyPatch):
    """The oldest go first, a living one never, and the newest stay as far as there is room."""
    monkeypatch.setattr(journal_module, "MAX_FINISHED_BYTES", 10_000)
    journals = Journals()
    living = journals.open("living")
    await living.add("log", {"text": "x" * 20_000})
    for n in range(4):
        finished = journals.open(f"r{n}")
        await finished.add("log", {"text": "x" * 4_000})
        await finished.close()
    journals.open("new")

    assert journals.get("living") is living
    assert [journals.get(f"r{n}") is not None for n in range(4)] == [False, False, True, True]


async def test_old_finished_journals_give_way():
    """Finished runs are kept up to a bound; running ones always."""
    journals = Journals()
    running = journals.open("running")
    for n in range(MAX_FINISHED + 5):
        await journals.open(f"r{n}").close()
    journals.open("new")
    assert journals.get("running") is running
    assert journals.get("r0") is None
    assert journals.get(f"r{MAX_FINISHED + 4}") is not None
