"""How fast an agent's log is read: a burst at once, then so many bytes a second."""

from __future__ import annotations

import pytest

from runtime.sandbox.pace import BURST_BYTES, BYTES_PER_S, Pace


def test_a_log_as_logs_are_never_waits():
    """Whatever comes within the burst, or slower than the rate."""
    pace = Pace(0.0)
    assert pace.wait_s(BURST_BYTES, 0.0) == 0
    assert [pace.wait_s(BYTES_PER_S // 2, float(second)) for second in range(1, 50)] == [0.0] * 49


def test_a_flood_waits_for_as_long_as_it_is_too_fast():
    """A minute of it takes a minute, in pieces of any size."""
    for size in (1, 4096, 1 << 20):
        pace, now, taken = Pace(0.0), 0.0, 0
        while now < 60 and taken < 200_000 * size:
            now += pace.wait_s(size, now)
            taken += size
        assert taken <= BURST_BYTES + 60 * BYTES_PER_S + size


def test_a_rest_gives_no_more_than_the_burst():
    """An hour of silence is no licence for an hour's bytes."""
    pace = Pace(0.0)
    pace.wait_s(BURST_BYTES, 0.0)

    assert pace.wait_s(2 * BURST_BYTES, 3600.0) == pytest.approx(BURST_BYTES / BYTES_PER_S)
