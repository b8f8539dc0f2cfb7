"""runtime.cli.diagnosis.clock: clocks that differ are a fault, and an answer that took long is none."""

from __future__ import annotations

import pytest

from runtime.cli.diagnosis.clock import clock_check


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (1000.0, None),
        (1004.9, None),
        (995.1, None),
        (1060.0, "50 s ahead of"),
        (940.0, "60 s behind"),
    ],
)
def test_a_skew_of_more_than_seconds_is_a_fault(theirs: float, said: str | None):
    """With how much, and which way."""
    line = clock_check("the engine's host", theirs, before=1000.0, after=1010.0 if said else 1000.0)

    assert line["name"] == "clock of the engine's host"
    assert line["ok"] is (said is None)
    assert said is None or (said in line["detail"] and "chrony" in line["remedy"])


def test_an_answer_that_took_long_is_no_skew():
    """Anything between our two looks may be right."""
    assert clock_check("x", 1030.0, before=1000.0, after=1060.0)["ok"]
