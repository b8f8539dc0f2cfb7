"""What is counted of runs for the metrics: how they ended, how long they waited, what the proxy decided.

Pure. Every label is from a closed set, so that no agent can make the metrics grow: no run's id, host, path or
secret is kept here, and a code that this version does not know counts as `other`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from proxy.policy.model import Verdict
from proxy.policy.reasons import ReasonCode
from runtime.errors import rows
from runtime.model.histogram import Histogram
from runtime.model.run import RunError, RunState

NONE = "none"
"""The reason of what has none: a run that completed, a request that was allowed."""
OTHER = "other"
REASONS = frozenset(kind.code for kind in rows())
"""Why a run can have ended."""
VERDICTS = frozenset(str(verdict) for verdict in Verdict)
CODES = frozenset(str(code) for code in ReasonCode)
QUEUE_BOUNDS_S = (0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)
START_BOUNDS_S = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60)


class RunFigures:
    """The counters of one daemon, since its start."""

    def __init__(self) -> None:
        self.ended: Counter[tuple[str, str]] = Counter()
        """By final state and reason."""
        self.decisions: Counter[tuple[str, str]] = Counter()
        """Of the egress proxy, by verdict and reason code."""
        self.queue_s = Histogram(QUEUE_BOUNDS_S)
        """From a run's acceptance to its turn."""
        self.start_s = Histogram(START_BOUNDS_S)
        """From its turn to the start of its agent."""

    def count_end(self, state: RunState, error: RunError | None) -> None:
        """Count a run that has ended."""
        reason = NONE if error is None else error.code if error.code in REASONS else OTHER
        self.ended[state.value, reason] += 1

    def count_decision(self, line: Mapping[str, Any]) -> None:
        """Count a line of the audit; one that stands for several refusals counts as so many."""
        verdict, code = line.get("verdict"), line.get("reason_code")
        labels = (
            verdict if verdict in VERDICTS else OTHER,
            NONE if code is None else code if code in CODES else OTHER,
        )
        self.decisions[labels] += line.get("suppressed") or 1
