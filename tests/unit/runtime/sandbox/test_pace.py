"""How fast an agent's output is read: a burst at once, then so many bytes and so many pieces a second."""

from __future__ import annotations

import pytest

from runtime.sandbox.pace import BURST_BYTES, BURST_PIECES, BYTES_PER_S, PIECES_PER_S, Pace


def test_a_log_as_logs_are_never_waits():
    """Whatever comes within the burst, or slower than the rate: bytes and lines."""
    pace = Pace(0.0)
    assert pace.wait_s(BURST_BYTES, BURST_PIECES, 0.0) == 0
    later = [pace.wait_s(BYTES_PER_S // 2, PIECES_PER_S // 2, float(second)) for second in range(1, 50)]
    assert later == [0.0] * 49


@pytest.mark.parametrize("size", [1, 4096, 1 << 20])
def test_a_flood_waits_for_as_long_as_it_is_too_fast(size: int):
    """A minute of it takes a minute, in pieces of any size."""
    pace, now, taken = Pace(0.0), 0.0, 0
    while now < 60 and taken < 200_000 * size:
        now += pace.wait_s(size, 0, now)
        taken += size
    assert taken <= BURST_BYTES + 60 * BYTES_PER_S + size


@pytest.mark.parametrize("at_once", [1, 278])
def test_a_flood_of_single_bytes_waits_by_the_piece(at_once: int):
    """As many turns of the engine as there are pieces, whatever their bytes, one by one or many in one read."""
    pace, now, taken = Pace(0.0), 0.0, 0
    while now < 60:
        now += pace.wait_s(at_once, at_once, now)
        taken += at_once
    assert taken <= BURST_PIECES + 60 * PIECES_PER_S + at_once


def test_a_result_is_not_held_up_by_its_bytes():
    """What is no log and comes in large pieces costs neither."""
    pace = Pace(0.0)
    assert [pace.wait_s(0, 0, 0.0) for _ in range(100_000)] == [0.0] * 100_000


@pytest.mark.parametrize(
    ("size", "pieces", "expected"),
    [(2 * BURST_BYTES, 0, BURST_BYTES / BYTES_PER_S), (0, 2 * BURST_PIECES, BURST_PIECES / PIECES_PER_S)],
    ids=["bytes", "pieces"],
)
def test_a_rest_gives_no_more_than_the_burst(size: int, pieces: int, expected: float):
    """An hour of silence is no licence for an hour's output."""
    pace = Pace(0.0)
    pace.wait_s(BURST_BYTES, BURST_PIECES, 0.0)

    assert pace.wait_s(size, pieces, 3600.0) == pytest.approx(expected)
