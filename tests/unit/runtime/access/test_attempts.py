"""runtime.access.attempts: who fails too often waits, and waits no longer than needed."""

from __future__ import annotations

from runtime.access.attempts import ATTEMPTS, FORGIVEN_S, MAX_PEERS, Attempts


def test_some_failures_are_free_and_then_each_costs_a_wait():
    """The wait is the same for everybody who asks at that moment, and others do not wait."""
    attempts = Attempts()
    for _ in range(ATTEMPTS):
        assert attempts.wait_s("a", 0.0) == 0
        attempts.failed("a", 0.0)

    assert attempts.wait_s("a", 0.0) == FORGIVEN_S
    assert attempts.wait_s("a", FORGIVEN_S - 0.001) > 0
    assert attempts.wait_s("a", FORGIVEN_S) == 0
    assert attempts.wait_s("b", 0.0) == 0


def test_failures_are_forgiven_one_by_one():
    """After a wait there is one attempt, not all of them again."""
    attempts = Attempts()
    for _ in range(ATTEMPTS):
        attempts.failed("a", 0.0)
    attempts.failed("a", FORGIVEN_S)
    assert attempts.wait_s("a", FORGIVEN_S) > 0
    assert attempts.wait_s("a", FORGIVEN_S * (ATTEMPTS + 1)) == 0


def test_it_does_not_grow():
    """Whoever failed longest ago is forgotten first."""
    attempts = Attempts()
    for number in range(MAX_PEERS + 10):
        for _ in range(ATTEMPTS):
            attempts.failed(str(number), 0.0)
    assert len(attempts._failures) == MAX_PEERS
    assert attempts.wait_s("0", 0.0) == 0
    assert attempts.wait_s(str(MAX_PEERS + 9), 0.0) > 0


def test_a_clock_that_went_back_forgives_nothing():
    """And it makes no failure older than it is."""
    attempts = Attempts()
    for _ in range(ATTEMPTS):
        attempts.failed("a", 100.0)
    assert attempts.wait_s("a", 50.0) > 0
