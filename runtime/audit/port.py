"""What the daemon's parts need of the audit (`runtime.audit.log.AuditLog`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol


class AuditPort(Protocol):
    """Where it is written down who did what. `data` holds names and never a value of a secret."""

    def note(self, kind: str, *, who: str, data: Mapping[str, object]) -> None:
        """Write a line soon, behind all that were asked for before it; nobody waits for it."""

    async def add(self, kind: str, *, who: str, data: Mapping[str, object]) -> None:
        """Write a line, and return once it is on the disk. Raises NotReadyError where it cannot be."""

    def at_close(self, call: Callable[[], None]) -> None:
        """Before the audit is closed: what is noted then is written."""


class NoAudit:
    """For who is no daemon: nothing is written."""

    def note(self, kind: str, *, who: str, data: Mapping[str, object]) -> None:
        """Do nothing."""

    async def add(self, kind: str, *, who: str, data: Mapping[str, object]) -> None:
        """Do nothing."""

    def at_close(self, call: Callable[[], None]) -> None:
        """Do nothing."""
