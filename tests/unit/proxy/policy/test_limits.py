"""The limits of a sandbox and the counter behind them."""

from __future__ import annotations

import random

import pytest

from proxy.policy.limits import (
    DEFAULT_CONNECTIONS,
    DEFAULT_REQUESTS_PER_MINUTE,
    Limits,
    SlidingWindow,
    limits_of,
)
from proxy.policy.model import Budgets


def test_built_in_limits_where_the_policy_says_nothing():
    """Connections and requests are bounded without being asked to, bytes are not."""
    assert limits_of(Budgets()) == Limits(DEFAULT_REQUESTS_PER_MINUTE, DEFAULT_CONNECTIONS, None, None)


@pytest.mark.parametrize("value", [0, 1, 10**9])
def test_the_policys_budget_counts(value: int):
    """A budget replaces the built-in one, 0 and larger ones included."""
    budgets = Budgets(requests_per_minute=value, connections=value, bytes_out=value, bytes_in=value)

    assert limits_of(budgets) == Limits(value, value, value, value)


def test_window_lets_the_limit_through_and_no_more():
    """What is refused costs nothing, so a client that keeps asking gets through again."""
    window = SlidingWindow()

    taken = [window.take(3, now) for now in (0.0, 1.0, 1.5, 2.0, 59.0)]

    assert taken == [True, True, True, False, False]
    assert window.is_full(3, 60.9)
    assert not window.is_full(3, 61.0)


def test_window_of_nothing_is_always_full():
    """A budget of 0 allows none."""
    assert not SlidingWindow().take(0, 0.0)


def test_window_bears_a_clock_that_steps_back():
    """No event is lost or gained when a clock is read out of order."""
    window = SlidingWindow()

    taken = [window.take(2, now) for now in (10.0, 9.0, 8.0)]

    assert taken == [True, True, False]
    assert window.take(2, 71.0)


def test_never_more_than_the_limit_in_any_minute():
    """Over random arrivals, every span of 60 s holds at most the limit, and memory stays within its slots."""
    rng, window, taken = random.Random(7), SlidingWindow(), []
    now = 0.0
    for _ in range(5000):
        now += rng.expovariate(5)
        if window.take(100, now):
            taken.append(now)

    assert all(later - first >= 60 for first, later in zip(taken, taken[100:], strict=False))
    assert len(taken) > 100
    assert len(window._slots) <= 62
