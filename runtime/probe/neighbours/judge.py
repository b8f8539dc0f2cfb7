"""What the victim's samples mean: latencies in the quiet window and under attack, and a verdict. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.probe.neighbours.table import EVERY_S, FLOOR_MS, OUTLIVES_S, RATIO, Row, Windows

KINDS = ("dns", "https", "log")
"""Questions, requests, and how long a line on stderr takes to reach who follows the run."""
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer that the victim got, or did not get."""

    kind: str
    at: float
    """When it was due; epoch seconds."""
    took_ms: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """One kind's latencies in one window, in milliseconds; failures count with the time they took."""

    count: int
    p50: float
    p99: float
    worst: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one attack, from every side."""

    samples: tuple[Sample, ...]
    quiet: tuple[float, float]
    """The window's two ends; epoch seconds."""
    attack: tuple[float, float]
    victim_ended: str
    """`completed`, or state and error."""
    attacker_ended: str
    is_attacker_alone: bool
    """Whether the attacker's run ended by itself or by a limit of its own."""
    lost: int
    """Samples that the victim took and nobody was told of."""
    victim_end_s: float
    """From the victim's last word to its run's end."""
    attacker_end_s: float
    """The same from the end of the attack's time."""
    worker_bytes: int = 0
    """The largest resident worker while the row lasted."""
    worker_limit: int = 0
    outlived_s: float = 0.0
    """How long workers lived on once both runs had ended."""
    did: str = ""
    """What the attacker says that it did."""


@dataclass(frozen=True, slots=True)
class Result:
    """One row: the latencies by kind, and what did not hold; held where that is nothing."""

    row: Row
    seen: Seen
    quiet: dict[str, Latency]
    attack: dict[str, Latency]
    failures: tuple[str, ...]
    """The victim's unanswered questions and requests, at any time."""
    why: tuple[str, ...]

    @property
    def is_held(self) -> bool:
        """Whether everything promised was seen."""
        return not self.why

    def ratio(self, kind: str) -> float:
        """Of p99 under attack to p99 before it."""
        return self.attack[kind].p99 / max(self.quiet[kind].p99, 0.01)


def latency(took_ms: Sequence[float]) -> Latency:
    """Percentiles by nearest rank; all zero without a sample."""
    if not took_ms:
        return Latency(0, 0.0, 0.0, 0.0)
    ordered = sorted(took_ms)
    p50, p99 = (ordered[math.ceil(part * len(ordered)) - 1] for part in (0.5, 0.99))
    return Latency(len(ordered), p50, p99, ordered[-1])


def allowed_p99(quiet: Latency) -> float:
    """The most that p99 may be under attack, in milliseconds."""
    return max(RATIO * quiet.p99, FLOOR_MS)


def judge(row: Row, seen: Seen, windows: Windows) -> Result:
    """The verdict on one attack; what was not measured did not hold."""
    quiet, attack = (_by_kind(seen.samples, window) for window in (seen.quiet, seen.attack))
    failures = tuple(f"{sample.kind}: {sample.error}" for sample in seen.samples if sample.error)
    why = [f"{len(failures)} of the victim's requests failed: {failures[0]}"] if failures else []
    why += [
        f"{kind}: p99 {attack[kind].p99:.0f} ms under attack, {allowed_p99(quiet[kind]):.0f} ms allowed"
        for kind in KINDS
        if attack[kind].p99 > allowed_p99(quiet[kind])
    ]
    for name, found, lasts_s in (("quiet", quiet, windows.quiet_s), ("attack", attack, windows.attack_s)):
        expected = 0.5 * lasts_s / EVERY_S
        if min(found["dns"].count, found["https"].count) < expected or not found["log"].count:
            why.append(f"the {name} window was not measured")
    if seen.victim_ended != "completed":
        why.append(f"the victim's run ended: {seen.victim_ended}")
    elif seen.lost:
        why.append(f"{seen.lost} of the victim's samples never came")
    if not seen.is_attacker_alone:
        why.append(f"the attacker's run ended: {seen.attacker_ended}")
    if not 0 < seen.worker_bytes <= seen.worker_limit:
        why.append(f"a worker took {seen.worker_bytes // MIB} MiB, {seen.worker_limit // MIB} MiB allowed")
    if seen.outlived_s > OUTLIVES_S:
        why.append(f"a worker outlived its run by {seen.outlived_s:.0f} s")
    return Result(row, seen, quiet, attack, failures, tuple(why))


def _by_kind(samples: Sequence[Sample], window: tuple[float, float]) -> dict[str, Latency]:
    start, end = window
    return {
        kind: latency([s.took_ms for s in samples if s.kind == kind and start <= s.at < end])
        for kind in KINDS
    }
