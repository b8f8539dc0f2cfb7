"""What a fuzz showed, and whether it held. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.harness.vitals import Vitals

MAX_GAP_MS = 250.0
CONTROL_FACTOR = 3.0
"""A gap is a worker's own where the worst of those that nobody attacked was not a third of it: the control's,
which asks no worker, and for the worker also its neighbour's."""
ODD_SHARE = 0.01
"""Of the answers, which may be slower all the same: on a busy machine any process may wait for its turn. A stall
of the loop's own is seen without the machine's noise, by the processor time of each of its turns."""
MORE_BYTES = 24 << 20
MORE_DESCRIPTORS = 2
CONTROL = "control"


class Sample(NamedTuple):
    """One question of the witness."""

    kind: str
    at: float
    took_ms: float
    error: str | None


@dataclass
class Outcome:
    """All that was seen; empty is not held."""

    seed: str = ""
    lasted_s: float = 0.0
    cases: Counter[str] = field(default_factory=Counter)
    """By kind."""
    ends: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    """Processes that are no longer there, and which cases were under way."""
    faults: list[str] = field(default_factory=list)
    """Lines of the proxy's log that tell of an exception nobody had foreseen."""
    guarded: Counter[str] = field(default_factory=Counter)
    """Exceptions that became a refusal, by their place."""
    log: str = ""
    """The proxy's own words."""
    turns: list[tuple[float, str]] = field(default_factory=list)
    """Turns of an event loop that worked for long: processor time in ms, and what they were."""
    vitals: dict[str, list[Vitals]] = field(default_factory=dict)
    """Process -> warm, and at the end."""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so great a share of all does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def problems_of(outcome: Outcome, *, is_timed: bool) -> list[str]:
    """Why it did not hold; nothing where it did. Gaps count only where it `is_timed`."""
    found = [f"a process has ended: {what}" for what in outcome.ended]
    found += [f"in the proxy's log: {line}" for line in outcome.faults]
    kinds = {sample.kind for sample in outcome.samples}
    found += [
        f"nobody asked: {kind}"
        for kind in {"worker http", "worker dns", "neighbour http", "neighbour dns"} - kinds
    ]
    found += [f"a turn of {ms:.0f} ms: {what}" for ms, what in outcome.turns[:3] if ms > MAX_GAP_MS]
    failed = [sample for sample in outcome.samples if sample.error is not None]
    found += [f"{s.kind} unanswered at {s.at:.2f}: {s.error}" for s in failed[:10]]
    if not outcome.cases:
        found.append("nothing was sent")
    for who, seen in outcome.vitals.items():
        warm, last = seen[0], seen[-1]
        if last.private_bytes > warm.private_bytes + MORE_BYTES:
            found.append(f"{who} grew from {warm.private_bytes >> 10} to {last.private_bytes >> 10} KiB")
        if last.descriptors > warm.descriptors + MORE_DESCRIPTORS:
            found.append(
                f"{who} has {last.descriptors} descriptors, {warm.descriptors} when it was idle before"
            )
    if not outcome.vitals:
        found.append("no process was looked at")
    return found + (_gaps(outcome.samples) if is_timed else [])


def _gaps(samples: Sequence[Sample]) -> list[str]:
    found = []
    for kind in sorted({s.kind for s in samples} - {CONTROL}):
        took = [s.took_ms for s in samples if s.kind == kind]
        calm = {CONTROL, "neighbour http", "neighbour dns"} if kind.startswith("worker") else {CONTROL}
        worst = max((s.took_ms for s in samples if s.kind in calm), default=0.0)
        bound = max(MAX_GAP_MS, CONTROL_FACTOR * worst)
        slow = [ms for ms in took if ms > bound]
        if len(slow) > ODD_SHARE * len(took):
            found.append(
                f"{kind}: {len(slow)} of {len(took)} answers took over {bound:.0f} ms, the worst {max(slow):.0f} ms"
            )
    return found


def table(outcome: Outcome) -> str:
    """The outcome for people."""
    sent = ", ".join(f"{kind} {count}" for kind, count in sorted(outcome.cases.items()))
    lines = [
        f"seed {outcome.seed}, {outcome.lasted_s:.0f} s, {outcome.cases.total()} cases: {sent}",
        "ended: " + ", ".join(f"{how} {count}" for how, count in sorted(outcome.ends.items())),
        "",
        "| witness | asked | unanswered | p50 ms | p99 ms | max ms | over 250 ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in sorted({s.kind for s in outcome.samples}):
        took = [s.took_ms for s in outcome.samples if s.kind == kind]
        lost = sum(s.error is not None for s in outcome.samples if s.kind == kind)
        figures = (percentile(took, 0.5), percentile(took, 0.99), max(took))
        over = sum(ms > MAX_GAP_MS for ms in took)
        lines.append(
            f"| {kind} | {len(took)} | {lost} | " + " | ".join(f"{f:.1f}" for f in figures) + f" | {over} |"
        )
    lines += [
        "",
        "| process | private MiB | resident MiB | peak MiB | descriptors |",
        "|---|---|---|---|---|",
    ]
    for who, seen in outcome.vitals.items():
        cells = [
            " -> ".join(f"{getattr(v, name) / (1 << 20):.1f}" for v in seen)
            for name in ("private_bytes", "resident_bytes", "peak_bytes")
        ]
        lines.append(f"| {who} | {' | '.join(cells)} | {' -> '.join(str(v.descriptors) for v in seen)} |")
    turns = ", ".join(f"{ms:.0f} ms" for ms, _ in outcome.turns[:5])
    lines += [
        "",
        f"longest turns of a loop, in processor time: {turns or 'none over 10 ms'}",
        "",
        "exceptions that became a refusal: "
        + (", ".join(f"{n} x {k}" for k, n in outcome.guarded.items()) or "none"),
    ]
    return "\n".join(lines)
