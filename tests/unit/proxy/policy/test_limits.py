"""The limits of a sandbox and the counter behind them."""

from __future__ import annotations

import dataclasses
import random

import pytest

from proxy.policy.limits import (
    DEFAULT_CONNECTIONS,
    DEFAULT_DNS_QUESTIONS_PER_MINUTE,
    DEFAULT_NEW_NAMES_PER_MINUTE,
    DEFAULT_REQUESTS_PER_MINUTE,
    DEFAULT_TUNNELS_PER_MINUTE,
    Limits,
    SlidingWindow,
    limits_of,
)
from proxy.policy.model import Budgets


def test_built_in_limits_where_the_policy_says_nothing():
    """Connections and requests are bounded without being asked to, bytes are not."""
    rates = (
        DEFAULT_TUNNELS_PER_MINUTE,
        DEFAULT_NEW_NAMES_PER_MINUTE,
        DEFAULT_DNS_QUESTIONS_PER_MINUTE,
    )
    expected = Limits(DEFAULT_REQUESTS_PER_MINUTE, DEFAULT_CONNECTIONS, None, None, *rates)

    assert limits_of(Budgets()) == expected
    assert (DEFAULT_REQUESTS_PER_MINUTE, DEFAULT_CONNECTIONS, *rates) == (6000, 256, 6000, 120, 3000)


@pytest.mark.parametrize("value", [0, 1, 10**9])
def test_the_policys_budget_counts(value: int):
    """A budget replaces the built-in one, 0 and larger ones included."""
    names = [field.name for field in dataclasses.fields(Limits)]

    assert limits_of(Budgets(**dict.fromkeys(names, value))) == Limits(*[value] * len(names))


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
