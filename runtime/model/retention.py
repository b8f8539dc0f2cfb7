"""How long records are kept, and what a pruning took away. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeepRules:
    """The operator's bounds; what is beyond any of them is removed."""

    days: int = 30
    """A finished run with its result, log and decisions, counted from its end."""
    runs_bytes: int = 10 << 30
    """What all finished runs may take together: the newest are kept."""
    audit_days: int = 365
    """A line of the vault's audit: who read which secret is asked later than what a run printed."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, or would be."""

    runs: int
    bytes: int
    """What these runs took: their output, and their decisions."""
    audit_lines: int
