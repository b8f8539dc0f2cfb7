"""An audit in memory, whose disk may be full."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runtime.errors import NotReadyError


class FakeAudit:
    """Implements `audit.port.AuditPort`."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        """Kind, who, and what is said."""
        self.is_full = False
        self._at_close: list[Callable[[], None]] = []

    def at_close(self, call: Callable[[], None]) -> None:
        """Keep it for `close`."""
        self._at_close.append(call)

    def close(self) -> None:
        """The last lines."""
        for call in self._at_close:
            call()

    def note(self, kind: str, *, who: str, data: Mapping[str, object]) -> None:
        """Keep a line."""
        self.lines.append((kind, who, dict(data)))

    async def add(self, kind: str, *, who: str, data: Mapping[str, object]) -> None:
        """Keep a line, unless there is no room."""
        if self.is_full:
            raise NotReadyError("the audit cannot be written", hint="make room")
        self.note(kind, who=who, data=data)
