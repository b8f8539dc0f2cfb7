"""Abuse (attacks.md section 6): each ends at a limit of its own, and the control behind it still works."""

from __future__ import annotations

from runtime.probe.corpus.build import abused
from runtime.probe.model import Case

CASES: tuple[Case, ...] = (
    abused("R-01", "processes without end", "forks", most=2000),
    abused("R-03a", "a full /tmp", "fill", folder="/tmp", most_mib=400),  # noqa: S108
    abused("R-03b", "a full /dev/shm", "fill", folder="/dev/shm", most_mib=400),  # noqa: S108
    abused("R-03c", "a full /run", "fill", folder="/run", most_mib=64),
    abused("R-02", "memory without end", "memory", is_last=True, most_mib=1400),
    abused("R-05", "descriptors without end", "descriptors", most=10000),
)
