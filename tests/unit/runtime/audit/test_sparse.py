"""runtime.audit.sparse: a flood of refusals is a bounded number of lines, and none is uncounted."""

from __future__ import annotations

from runtime.audit.sparse import LINES, Sparse


def test_a_flood_is_counted():
    """What is left out stands in the next line."""
    sparse = Sparse()
    taken = [sparse.take(100.0) for _ in range(LINES + 50)]
    assert taken == [0] * LINES + [None] * 50
    assert sparse.take(101.0) == 50
    assert sparse.take(101.0) is None


def test_a_clock_that_goes_back_gives_nothing():
    """Nor does it take anything."""
    sparse = Sparse()
    for _ in range(LINES):
        sparse.take(100.0)
    assert sparse.take(50.0) is None
    assert sparse.take(52.0) == 1
