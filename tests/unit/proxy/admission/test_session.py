"""What a client owes, and until when."""

from __future__ import annotations

from proxy.admission.meters import Meter
from proxy.admission.session import SILENT, SLOW, Deadline, Entry, Origin, Session
from proxy.policy.limits import HEAD_S, SILENCE_S


def test_a_head_that_has_begun_gets_its_time_once():
    """A byte shortens the time of a silent client; further bytes do not lengthen it; the end settles it."""
    now = [0.0]
    session = Session("s", Origin(Entry.EXPLICIT, 1), Meter(), lambda: now[0])

    session.owe(SILENT, within_s=SILENCE_S)
    assert session.deadline == Deadline(SILENCE_S, SILENT)
    now[0] = 5.0
    session.owe_head()
    now[0] = 20.0
    session.owe_head()
    assert session.deadline == Deadline(5.0 + HEAD_S, SLOW)
    session.settle()
    assert session.deadline is None
