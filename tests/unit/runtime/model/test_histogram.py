"""runtime.model.histogram: values fall into ranges, and nothing else is kept of them."""

from __future__ import annotations

import math

import pytest

from runtime.model.histogram import Histogram


def test_a_value_counts_in_each_range_that_holds_it():
    """At a bound it belongs to that bound, above all of them to infinity, below 0 to the first."""
    histogram = Histogram((1, 5))
    for value in (-3, 1, 1.5, 5, 6):
        histogram.observe(value)

    assert histogram.cumulative == [(1, 2), (5, 4), (math.inf, 5)]
    assert histogram.total == 13.5


@pytest.mark.parametrize("bounds", [(2, 1), (1, 1)])
def test_bounds_that_do_not_rise_are_refused(bounds: tuple[float, ...]):
    """Their counts would be wrong without a word."""
    with pytest.raises(ValueError, match="rise"):
        Histogram(bounds)
