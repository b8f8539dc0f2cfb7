"""runtime.probe.neighbours.agent.attacks: bounded in time and in count."""

from __future__ import annotations

import json
import time

from runtime.probe.neighbours.agent.attacks import ATTACKS, ERRORS, Bounds


def test_an_attack_ends_with_its_count():
    """The act beyond the last is not made."""
    bounds = Bounds("ok.test", time.monotonic() + 60, most=2)

    assert [bounds.take() for _ in range(3)] == [True, True, False]
    assert not bounds.is_on()


def test_an_attack_ends_with_its_time():
    """However little of it was made."""
    bounds = Bounds("ok.test", time.monotonic() - 1, most=2)

    assert not bounds.is_on()
    assert not bounds.take()


def test_errors_are_told_by_their_text_up_to_a_bound():
    """The rest is left out."""
    bounds = Bounds("ok.test", time.monotonic() + 60, most=2)
    for number in (*range(ERRORS + 5), 0):
        bounds.note(str(number))

    assert len(bounds.errors) == ERRORS
    assert bounds.errors["0"] == 2


def test_the_result_is_json_of_9_mb():
    """Under the limit of a run's output, or it would attack nothing."""
    says = ATTACKS["result"].says

    assert 9_000_000 <= len(says) <= 10 << 20
    assert json.loads(says[:4] + b"[]]") == [[], []]
