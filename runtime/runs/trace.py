"""A run as a trace: its phases, one behind the other, and what the proxy decided meanwhile. Pure.

It says when things happened and how they ended, and nothing that an agent wrote: no log, result or message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runtime.model.run import RunSummary

TURN, NETWORK, MADE, RUNNING, ENDED = "turn", "network", "made", "running", "ended"
"""What is noted of a run: its turn came, it had its network, its sandbox waited, its agent began, its end."""
PHASES = (("queue", TURN), ("slot", NETWORK), ("create", MADE), ("start", RUNNING), ("agent", ENDED))
"""Each phase, and what ends it."""
CLEAN_UP = "clean-up"
MAX_DECISIONS = 200
"""In a trace; the record of the run has all of them."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a run, from one epoch second to another."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class RunTrace:
    """All that a trace is made of."""

    run: RunSummary
    phases: tuple[Phase, ...]
    decisions: tuple[Mapping[str, Any], ...]
    """The first lines of the audit."""
    omitted_decisions: int
    end: float
    """When the run was recorded as final."""


type OnEnd = Callable[[RunTrace], None]


class TraceNotes:
    """What is noted of one run while it lives."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}
        self._decisions: list[Mapping[str, Any]] = []
        self._omitted = 0

    def note(self, what: str, at: float) -> None:
        """Something came, in epoch seconds; the first time counts."""
        self._times.setdefault(what, at)

    def add_decision(self, line: Mapping[str, Any]) -> None:
        """A line of the audit."""
        if len(self._decisions) < MAX_DECISIONS:
            self._decisions.append(line)
        else:
            self._omitted += line.get("suppressed") or 1

    def trace(self, run: RunSummary, end: float) -> RunTrace:
        """The trace of the run, which has just been recorded as final."""
        return RunTrace(run, self._phases(run, end), tuple(self._decisions), self._omitted, end)

    def _phases(self, run: RunSummary, end: float) -> tuple[Phase, ...]:
        """As far as it came; of a run that an earlier daemon began only what this one has seen the end of."""
        stop = self._times.get(ENDED, end)
        phases = []
        if TURN not in self._times and run.started_at is not None:
            phases.append(Phase("agent", run.started_at, stop))
        else:
            start = run.created_at
            for name, what in PHASES:
                until = self._times.get(what, stop)
                phases.append(Phase(name, start, max(start, until)))
                if what not in self._times:
                    break
                start = until
        if ENDED in self._times:
            phases.append(Phase(CLEAN_UP, stop, max(stop, end)))
        return tuple(phases)
