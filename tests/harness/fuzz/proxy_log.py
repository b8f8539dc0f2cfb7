"""The proxy's log under fuzz: which lines tell of an exception, and which of those became a refusal. Pure."""

from __future__ import annotations

import json
from collections import Counter
from typing import NamedTuple

GUARDED = {"hook-failed", "layer-failed"}
"""What the proxy says where an exception is turned into a refusal."""
_FRAMES = 3


class Log(NamedTuple):
    """What the proxy said."""

    faults: list[str]
    """Lines that must not be there."""
    guarded: Counter[str]
    """How often each guard caught what."""
    turns: list[tuple[float, str]]
    """Processor time in ms of each long turn of an event loop, and what it was; the longest first."""


def read_log(text: str) -> Log:
    """Sort the lines of the log."""
    faults: list[str] = []
    guarded: Counter[str] = Counter()
    turns: list[tuple[float, str]] = []
    for line in text.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            faults.append(line[:500])  # all that the proxy says by itself is JSON
            continue
        event, trace = str(said.get("event", "")), str(said.get("trace", ""))
        if event in GUARDED:
            guarded[f"{event}: {said.get('error')} in {_place(trace)}"] += 1
        elif event == "slow-turn":
            turns.append((float(said["ms"]), str(said["what"])))
        elif said.get("level") in {"error", "critical"} or "Traceback" in event:
            faults.append(f"{event[-1500:]} {trace[-1500:]}".strip())
    return Log(faults, guarded, sorted(turns, reverse=True))


def _place(trace: str) -> str:
    """The innermost frames of a traceback, the last one first."""
    frames = [line.strip() for line in trace.splitlines() if line.strip().startswith("File ")]
    where = " < ".join(frame.rpartition("/")[2].replace('"', "") for frame in reversed(frames[-_FRAMES:]))
    return f"{where} ({trace.strip().rpartition('\n')[2][:300]})"
