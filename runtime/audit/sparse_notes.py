"""Lines about what a caller can cause without end: so many for each, and a count of the others.

None is uncounted: what was left out stands in the caller's next line as `suppressed`, or soon, and before the
audit is closed, in a line of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from runtime.audit.port import AuditPort
from runtime.audit.sparse import Sparse

FLUSH_S = 60.0
"""How long what was left out waits for a next line of its caller."""
MAX_CALLERS = 1000
"""Counted apart at a time."""


class SparseNotes:
    """Of one kind."""

    def __init__(self, audit: AuditPort, kind: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._audit = audit
        self._kind = kind
        self._clock = clock
        self._callers: dict[str, Sparse] = {}
        self._timer: asyncio.TimerHandle | None = None
        audit.at_close(self._flush)

    def __len__(self) -> int:
        return len(self._callers)

    def note(self, who: str, data: Mapping[str, object]) -> None:
        """Write one down, or count it."""
        if who not in self._callers and len(self._callers) >= MAX_CALLERS:
            self._flush()
            self._callers.clear()
        suppressed = self._callers.setdefault(who, Sparse()).take(self._clock())
        if suppressed is not None:
            self._audit.note(self._kind, who=who, data={**data, "suppressed": suppressed})
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for who, sparse in self._callers.items():
            if suppressed := sparse.give():
                self._audit.note(self._kind, who=who, data={"suppressed": suppressed})
