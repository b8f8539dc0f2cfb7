"""What `orch` tells a person on stderr, beside what a program reads on stdout."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from runtime.cli.console.output import is_json


def is_talkative() -> bool:
    """Whether stderr may hold more than the agent's log: a person reads it."""
    return not is_json() or sys.stderr.isatty()


def note_of(kind: str, data: Mapping[str, Any]) -> str | None:
    """An event that its reader should hear of while the run goes on; None for any other."""
    if kind == "fallback_transition":
        then = f"trying {data['to']}" if data["to"] else "nothing is left to try"
        return f"llm: {data['from']} failed ({data['reason']}), {then}"
    if kind == "waiting":
        return f"waiting for memory: {data['ahead']} runs wait before this one"
    if kind == "omitted":
        missing = ", ".join(f"{count} {name}" for name, count in data.items() if name != "at")
        return f"too many events to be kept, so these are missing: {missing}"
    if kind == "policy_violation":
        return f"llm: {data['model']} refused ({data['reason_code']})"
    return None
