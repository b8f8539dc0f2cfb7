"""runtime.cli.diagnosis.finding: a fault has a remedy, and a next step is none."""

from __future__ import annotations

from runtime.cli.diagnosis.finding import check, upcoming


def test_a_check_fails_where_it_has_a_remedy():
    """And is in order where it has none."""
    assert check("a", "fine")["ok"] is True
    assert check("a", "broken", remedy="mend it") == {
        "name": "a",
        "ok": False,
        "detail": "broken",
        "remedy": "mend it",
    }


def test_what_is_to_be_done_next_is_in_order():
    """It names what to do, and does not fail."""
    assert upcoming("a", "soon", remedy="do it") == {
        "name": "a",
        "ok": True,
        "detail": "soon",
        "remedy": "do it",
    }
