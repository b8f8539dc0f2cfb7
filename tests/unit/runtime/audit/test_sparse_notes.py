"""runtime.audit.sparse_notes: a flood is a bounded number of lines, and its last part is counted, too."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from runtime.audit import sparse_notes as module
from runtime.audit.sparse import LINES
from runtime.audit.sparse_notes import SparseNotes
from tests.unit.runtime.fake_audit import FakeAudit


def sum_of(audit: FakeAudit) -> dict[str, int]:
    """How many each of them did: lines that say what, and those that are counted."""
    found: dict[str, int] = {}
    for _, who, data in audit.lines:
        found[who] = found.get(who, 0) + ("path" in data) + data["suppressed"]
    return found


async def test_each_has_lines_of_its_own():
    """One's flood takes nobody else's."""
    audit = FakeAudit()
    notes = SparseNotes(audit, "api.answer", clock=lambda: 1.0)
    for _ in range(LINES + 5):
        notes.note("a", {"path": "/"})
    notes.note("b", {"path": "/"})
    assert len(audit.lines) == LINES + 1
    audit.close()
    assert audit.lines[-1] == ("api.answer", "a", {"suppressed": 5})
    assert sum_of(audit) == {"a": LINES + 5, "b": 1}
    audit.close()
    assert len(audit.lines) == LINES + 2


async def test_a_flood_that_stops_is_counted_all_the_same(monkeypatch: pytest.MonkeyPatch):
    """Soon, without another line."""
    monkeypatch.setattr(module, "FLUSH_S", 0.01)
    is_counted = asyncio.Event()

    class Audit(FakeAudit):
        def note(self, kind: str, *, who: str, data: Mapping[str, object]) -> None:
            super().note(kind, who=who, data=data)
            if "path" not in data:
                is_counted.set()

    audit = Audit()
    notes = SparseNotes(audit, "api.refused", clock=lambda: 1.0)
    for _ in range(2):
        for _ in range(LINES + 5):
            notes.note("unknown", {"path": "/"})
        await asyncio.wait_for(is_counted.wait(), 60)
        is_counted.clear()
    assert sum_of(audit) == {"unknown": 2 * (LINES + 5)}


async def test_many_callers_are_not_held(monkeypatch: pytest.MonkeyPatch):
    """What was left out of theirs is written, and then they are forgotten."""
    monkeypatch.setattr(module, "MAX_CALLERS", 3)
    audit = FakeAudit()
    notes = SparseNotes(audit, "api.answer", clock=lambda: 1.0)
    for number in range(20):
        for _ in range(LINES + 1):
            notes.note(f"token:{number}", {"path": "/"})
        assert len(notes) <= 3
    audit.close()
    assert set(sum_of(audit).values()) == {LINES + 1}
