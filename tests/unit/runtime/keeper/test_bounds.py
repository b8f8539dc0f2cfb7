"""A run's story keeps a bound, whatever the agent does: the oldest stays, and what is missing is counted."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from runtime.keeper.bounds import MAX_EVENTS, MAX_KEPT_BYTES, MAX_LOG_CHARS, OVERHEAD_BYTES, Bounds


def size_of(kept: list[dict[str, object]]) -> int:
    """What these events count."""
    return sum(len(json.dumps(data)) + OVERHEAD_BYTES for data in kept)


def test_log_text_is_bounded():
    """A flood of log keeps a bound, says so once, and hides no other event."""
    bounds = Bounds()
    kept = [bounds.admit("log", {"text": "x" * (MAX_LOG_CHARS // 2 + 1)}) for _ in range(4)]

    assert [data is not None for data in kept] == [True, True, False, False]
    assert "cut off" in str(kept[1])
    assert bounds.admit("state", {"state": "completed"}) == {"state": "completed"}
    assert bounds.omitted == {"log": 3}


@pytest.mark.parametrize("text", ["\n", "\U0001f511\n", "\0"])
def test_a_flood_of_short_lines_keeps_a_bound(text: str):
    """Each event costs more than its text: bare newlines, and what JSON spells out, are cut off too."""
    bounds = Bounds()
    kept = [data for _ in range(100_000) if (data := bounds.admit("log", {"text": text})) is not None]

    *lines, note = kept
    assert {data["text"] for data in lines} == {text}
    assert "cut off" in str(note["text"])
    assert bounds.omitted == {"log": 100_000 - len(lines)}
    assert size_of(kept) <= MAX_KEPT_BYTES + 1000


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("decision", {"host": "a.test", "path": "/", "verdict": "allow"}),
        ("decision", {"host": "a.test", "path": "/" + "p" * 16_000}),
        ("llm_call_failed", {"model": "m", "reason": "r" * 2000}),
        ("a kind of tomorrow", {"n": 1}),
    ],
)
def test_decisions_and_llm_calls_keep_a_bound(kind: str, data: dict[str, object]):
    """30,000 of them: the oldest stay, the rest is counted, and the run's end is told."""
    bounds = Bounds()
    kept = [each for _ in range(30_000) if (each := bounds.admit(kind, data)) is not None]

    assert 1 < len(kept) <= MAX_EVENTS
    assert bounds.omitted == Counter({kind: 30_000 - len(kept)})
    assert size_of(kept) <= MAX_KEPT_BYTES + 1000
    assert bounds.admit("log", {"text": "still told"}) == {"text": "still told"}
    assert bounds.admit("state", {"state": "completed"}) is not None


def test_a_flood_of_one_kind_leaves_room_for_another():
    """Decisions are the agent's to pace: they take no LLM call's place."""
    bounds = Bounds()
    for _ in range(MAX_EVENTS + 1):
        bounds.admit("decision", {"path": "/"})

    assert bounds.admit("decision", {"path": "/"}) is None
    assert bounds.admit("llm_call_succeeded", {"model": "m"}) is not None
