"""runtime.probe.neighbours.judge: what the victim's samples mean."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from runtime.probe.neighbours.judge import MIB, Latency, Sample, Seen, allowed_p99, judge, latency
from runtime.probe.neighbours.table import FLOOR_MS, ROWS, Windows

WINDOWS = Windows(quiet_s=2.0, attack_s=2.0)
KINDS = ("dns", "https", "log")


def samples(**under_attack: float) -> tuple[Sample, ...]:
    """Four seconds of answers in 5 ms each; under attack a kind takes what is given."""
    return tuple(
        Sample(kind, 100 + number * 0.05, under_attack.get(kind, 5.0) if number >= 40 else 5.0)
        for number in range(80)
        for kind in KINDS
    )


def seen(**changes: Any) -> Seen:
    """Everything as promised, but for the changes."""
    whole = Seen(
        samples=samples(),
        quiet=(100.0, 102.0),
        attack=(102.0, 104.0),
        victim_ended="completed",
        attacker_ended="completed",
        is_attacker_alone=True,
        lost=0,
        victim_end_s=0.5,
        attacker_end_s=0.5,
        worker_bytes=90 * MIB,
        worker_limit=272 * MIB,
    )
    return dataclasses.replace(whole, **changes)


def test_percentiles_are_by_nearest_rank():
    """Of a hundred the 50th and the 99th; of one, that one; of none, nothing."""
    assert latency([float(n) for n in range(100, 0, -1)]) == Latency(100, 50.0, 99.0, 100.0)
    assert latency([7.0]) == Latency(1, 7.0, 7.0, 7.0)
    assert latency([]) == Latency(0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(("quiet", "most"), [(1.0, FLOOR_MS), (33.0, FLOOR_MS), (50.0, 150.0)])
def test_allowed_p99_is_three_times_the_quiet_one_or_the_floor(quiet: float, most: float):
    """Below the floor a machine's own noise would decide."""
    assert allowed_p99(Latency(1, quiet, quiet, quiet)) == most


def test_a_row_holds_where_everything_promised_was_seen():
    """No reason against it, and latencies of both windows."""
    result = judge(ROWS[0], seen(samples=samples(dns=99.0)), WINDOWS)

    assert (result.is_held, result.why, result.failures) == (True, (), ())
    assert (result.quiet["dns"].p99, result.attack["dns"].p99) == (5.0, 99.0)
    assert result.ratio("dns") == pytest.approx(19.8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_kind_does_not_hold(kind: str):
    """Questions, requests and the log count, each by itself."""
    result = judge(ROWS[0], seen(samples=samples(**{kind: 101.0})), WINDOWS)

    assert result.why == (f"{kind}: p99 101 ms under attack, 100 ms allowed",)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"samples": (*samples(), Sample("dns", 90.0, 5000.0, "TimeoutError"))},
            "1 of the victim's requests",
        ),
        ({"samples": samples()[:120]}, "the attack window was not measured"),
        ({"samples": samples()[120:]}, "the quiet window was not measured"),
        ({"samples": ()}, "the quiet window was not measured"),
        ({"victim_ended": "failed: PROXY_LOST"}, "the victim's run ended: failed: PROXY_LOST"),
        ({"lost": 5}, "5 of the victim's samples never came"),
        ({"is_attacker_alone": False, "attacker_ended": "failed: x"}, "the attacker's run ended: failed: x"),
        ({"worker_bytes": 273 * MIB}, "a worker took 273 MiB, 272 MiB allowed"),
        ({"worker_bytes": 0}, "a worker took 0 MiB"),
        ({"outlived_s": 60.0}, "a worker outlived its run by 60 s"),
    ],
    ids=[
        "failure",
        "no-attack",
        "no-quiet",
        "nothing",
        "victim",
        "lost",
        "attacker",
        "memory",
        "unseen",
        "outlived",
    ],
)
def test_anything_missing_does_not_hold(changes: dict[str, Any], why: str):
    """A failure at any time, a window without samples, a run that something else ended, a worker too large."""
    result = judge(ROWS[0], seen(**changes), WINDOWS)

    assert not result.is_held
    assert result.why[0].startswith(why)
