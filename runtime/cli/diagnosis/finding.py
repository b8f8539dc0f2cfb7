"""One line of `orch doctor`."""

from __future__ import annotations

from typing import Any

type Finding = dict[str, Any]
"""`name`, `ok`, `detail` and `remedy`, as `--json` prints it."""


def check(name: str, detail: str, *, remedy: str | None = None) -> Finding:
    """A check that fails is one with a remedy."""
    return {"name": name, "ok": remedy is None, "detail": detail, "remedy": remedy}


def upcoming(name: str, detail: str, *, remedy: str) -> Finding:
    """What is in order now, and has a next step."""
    return {**check(name, detail), "remedy": remedy}
