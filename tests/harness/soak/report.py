"""What a soak showed, and whether it held. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from runtime.engine.connections import KEPT
from tests.harness.fuzz.report import percentile
from tests.harness.vitals import Vitals

MAX_MS = 250.0
MORE_BYTES = 48 << 20
MORE_DESCRIPTORS = 4
"""Between the first look, behind the warm-up, and the last one."""
CONNECTIONS = {"daemon": KEPT}
"""To the engine, which are kept for the next call: as many as there were calls at a time, by chance."""
KINDS = ("dns", "http", "https", "websocket", "stream", "control")
"""The last is a byte between two threads of the sandbox, which nothing of ours has a part in."""


class Sample(NamedTuple):
    """One lookup, request, message or stream of an agent."""

    phase: str
    kind: str
    took_ms: float
    error: str | None


@dataclass
class Outcome:
    """All that was seen; empty is not held."""

    lasted_s: float = 0.0
    runs: dict[str, int] = field(default_factory=dict)
    """Phase -> runs that came to their right end."""
    failed: list[str] = field(default_factory=list)
    """Runs that did not, and why."""
    samples: list[Sample] = field(default_factory=list)
    vitals: dict[str, list[Vitals]] = field(default_factory=dict)
    """Process -> warm, in the middle, at the end."""
    left_over: list[str] = field(default_factory=list)
    """On the engine, once all runs were over."""
    idle: dict[str, float] = field(default_factory=dict)
    """Whose -> share of one core, while nothing ran."""


def problems_of(outcome: Outcome, *, phases: Sequence[str]) -> list[str]:
    """Why it did not hold; nothing where it did."""
    found = [f"no run came to its end: {phase}" for phase in phases if not outcome.runs.get(phase)]
    found += [f"a run failed: {why}" for why in outcome.failed]
    found += [f"left on the engine: {name}" for name in outcome.left_over]
    asked = {sample.kind for sample in outcome.samples}
    found += [f"nobody asked: {kind}" for kind in KINDS if kind not in asked]
    found += [f"{s.kind} failed ({s.phase}): {s.error}" for s in outcome.samples if s.error is not None]
    for who, seen in outcome.vitals.items():
        first, last = seen[0], seen[-1]
        if last.private_bytes > first.private_bytes + MORE_BYTES:
            found.append(f"{who} grew from {first.private_bytes >> 20} to {last.private_bytes >> 20} MiB")
        if last.descriptors > first.descriptors + MORE_DESCRIPTORS + CONNECTIONS.get(who, 0):
            found.append(f"{who} went from {first.descriptors} to {last.descriptors} descriptors")
    if not outcome.vitals:
        found.append("no process was looked at")
    return found


def table(outcome: Outcome) -> str:
    """The outcome for people."""
    runs = ", ".join(f"{count} {phase}" for phase, count in outcome.runs.items())
    lines = [
        f"{outcome.lasted_s:.0f} s; runs: {runs}; failed {len(outcome.failed)}; left over {len(outcome.left_over)}",
        "",
        "| phase | what | asked | failed | p50 ms | p99 ms | max ms | over 250 ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for phase, kind in dict.fromkeys((s.phase, s.kind) for s in outcome.samples):
        mine = [s for s in outcome.samples if (s.phase, s.kind) == (phase, kind)]
        took = [s.took_ms for s in mine]
        lost, over = sum(s.error is not None for s in mine), sum(ms > MAX_MS for ms in took)
        figures = " | ".join(f"{f:.1f}" for f in (percentile(took, 0.5), percentile(took, 0.99), max(took)))
        lines.append(f"| {phase} | {kind} | {len(took)} | {lost} | {figures} | {over} |")
    lines += ["", "| process | private MiB | resident MiB | descriptors |", "|---|---|---|---|"]
    for who, seen in outcome.vitals.items():
        private = " -> ".join(f"{v.private_bytes / (1 << 20):.1f}" for v in seen)
        resident = " -> ".join(f"{v.resident_bytes / (1 << 20):.1f}" for v in seen)
        lines.append(f"| {who} | {private} | {resident} | {' -> '.join(str(v.descriptors) for v in seen)} |")
    if outcome.idle:
        shares = ", ".join(f"{who} {100 * share:.2f} %" for who, share in outcome.idle.items())
        lines += ["", f"at idle, of one core: {shares}; together {100 * sum(outcome.idle.values()):.2f} %"]
    return "\n".join(lines)
