"""How much of a run's story is kept. Pure.

An agent paces its events, so they are bounded by number and by size: the oldest stay, and what came beyond
the bound is counted and said.
"""

from __future__ import annotations

import json
from collections import Counter

MAX_LOG_CHARS = 1 << 20
"""Of log text per run; beyond it one event says so and the rest is dropped."""
MAX_KEPT_BYTES = 3 << 20
"""Of a run's log events, again of its decisions, and again of all others: each counts OVERHEAD_BYTES and its
JSON."""
MAX_EVENTS = 10_000
"""Decisions of a run, and again LLM calls; its log may have three times as many lines."""
OVERHEAD_BYTES = 100
OMITTED = "omitted"
"""The kind of the event that says how many of each kind are missing."""
_OWN = frozenset({"state", "waiting", "error", "result", "secrets_too_short", OMITTED})
"""Kinds that the runner tells, a handful for each run: never dropped."""


class Bounds:
    """Those of one run."""

    def __init__(self) -> None:
        self.omitted: Counter[str] = Counter()
        """How many events of each kind were not kept."""
        self._log_chars = 0
        self._is_log_cut = False
        self._counts: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()

    def admit(self, kind: str, data: dict[str, object]) -> dict[str, object] | None:
        """What is kept of an event: itself, the note that the log ends here, or nothing."""
        if kind in _OWN:
            return data
        size = len(json.dumps(data, default=str)) + OVERHEAD_BYTES
        if kind == "log":
            return self._admit_log(data, size)
        room = kind if kind == "decision" else "other"
        # Once full it stays so: no later event stands where an earlier one is missing.
        self._counts[room] += 1
        self._sizes[room] += size
        if self._counts[room] <= MAX_EVENTS and self._sizes[room] <= MAX_KEPT_BYTES:
            return data
        self.omitted[kind] += 1
        return None

    def _admit_log(self, data: dict[str, object], size: int) -> dict[str, object] | None:
        if not self._is_log_cut:
            self._log_chars += len(str(data.get("text", "")))
            self._sizes["log"] += size
            if self._log_chars <= MAX_LOG_CHARS and self._sizes["log"] <= MAX_KEPT_BYTES:
                return data
        self.omitted["log"] += 1
        if self._is_log_cut:
            return None
        self._is_log_cut = True
        limit = f"{MAX_LOG_CHARS} bytes" if self._log_chars > MAX_LOG_CHARS else "so many lines"
        return {"text": f"[orchbox: log cut off after {limit}]\n"}
