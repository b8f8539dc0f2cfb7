"""Events: replayed, followed, bounded."""

from __future__ import annotations

import asyncio

from runtime.runs.journal import MAX_EVENT_BYTES, MAX_FINISHED, Journal, Journals


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


async def test_log_text_is_bounded():
    """A flood of log keeps a bound, says so once, and hides no other event."""
    journal = Journal()
    for _ in range(4):
        await journal.add("log", {"text": "x" * (MAX_EVENT_BYTES // 2 + 1)})
    await journal.add("state", {"state": "completed"})
    await journal.close()
    assert [event.kind for event in journal.events] == ["log", "log", "state"]
    assert "cut off" in str(journal.events[1].data["text"])


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
