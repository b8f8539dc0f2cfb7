"""Events: replayed, followed, bounded."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections import Counter

import pytest

from runtime.runs import journal as journal_module
from runtime.runs.journal import (
    MAX_EVENT_BYTES,
    MAX_EVENTS,
    MAX_FINISHED,
    MAX_KEPT_BYTES,
    OVERHEAD_BYTES,
    Journal,
    Journals,
)


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


@pytest.mark.parametrize("text", ["\n", "\U0001f511\n", "\0"])
async def test_a_flood_of_short_lines_keeps_a_bound(text: str):
    """Each event costs more than its text: bare newlines, and what JSON spells out, are cut off too."""
    journal = Journal()
    for _ in range(100_000):
        await journal.add("log", {"text": text})
    await journal.say_omitted()
    await journal.close()

    *lines, note, said = journal.events
    assert {event.data["text"] for event in lines} == {text}
    assert "cut off" in str(note.data["text"])
    assert said.data == {"log": 100_000 - len(lines)}
    assert journal.size <= MAX_KEPT_BYTES + 1000


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("decision", {"host": "a.test", "path": "/", "verdict": "allow"}),
        ("decision", {"host": "a.test", "path": "/" + "p" * 16_000}),
        ("llm_call_failed", {"model": "m", "reason": "r" * 2000}),
    ],
)
async def test_decisions_and_llm_calls_keep_a_bound(kind: str, data: dict[str, object]):
    """30,000 of them: the oldest stay, the rest is counted and said, and the run's end is told."""
    journal = Journal()
    await journal.add("state", {"state": "running"})
    for _ in range(30_000):
        await journal.add(kind, data)
    await journal.add("log", {"text": "still told"})
    await journal.say_omitted()
    await journal.add("state", {"state": "completed"})
    await journal.close()

    kinds = Counter(event.kind for event in journal.events)
    assert 1 < kinds[kind] <= MAX_EVENTS
    assert journal.events[-2].data == {kind: 30_000 - kinds[kind]}
    assert (kinds["log"], kinds["state"], journal.events[-1].data["state"]) == (1, 2, "completed")
    assert journal.size <= MAX_KEPT_BYTES + 1000
    assert [event.seq for event in journal.events] == list(range(1, len(journal.events) + 1))


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
