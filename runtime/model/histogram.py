"""How often a measured value fell into which range: what a histogram of the metrics is made of. Pure."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence


class Histogram:
    """Counts values below fixed bounds, so that its size does not grow with what it counts."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` are the upper ends of the ranges, in rising order; the last range has no end."""
        if list(bounds) != sorted(set(bounds)):
            raise ValueError("the bounds of a histogram rise")
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self.total = 0.0
        """The sum of all values."""

    def observe(self, value: float) -> None:
        """Count one value. One below 0 counts as 0: a clock was set back meanwhile."""
        value = max(0.0, value)
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self.total += value

    @property
    def cumulative(self) -> list[tuple[float, int]]:
        """Each bound, with how many values were at most that; infinity last, with all of them."""
        return list(zip((*self._bounds, math.inf), itertools.accumulate(self._counts), strict=True))
