"""A library's warnings as lines of ours, and no more of them than are read."""

from __future__ import annotations

import logging
import time
from collections import defaultdict

import structlog

from runtime.audit.sparse import Sparse
from runtime.errors import frames_of

MINUTE_S = 60.0


class LibraryLog(logging.Handler):
    """Leaves out the tracebacks that a library adds, since those may quote a request.

    What anybody can cause by a malformed request is written 60 times, and then once a minute with the
    number of those that were left out.
    """

    def __init__(self, event: str) -> None:
        """`event` is what its lines are called."""
        super().__init__(logging.WARNING)
        self._event = event
        self._sparse: defaultdict[int, Sparse] = defaultdict(Sparse)
        """By level: warnings leave errors their lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, or count it."""
        suppressed = self._sparse[record.levelno].take(time.monotonic() / MINUTE_S)
        if suppressed is None:
            return
        first = record.getMessage().partition("\n")[0]
        more: dict[str, object] = {"suppressed": suppressed} if suppressed else {}
        if record.exc_info and (exc := record.exc_info[1]) is not None:
            more |= {"error": type(exc).__name__, "where": frames_of(exc)}
        structlog.get_logger().warning(self._event, detail=first[:200], **more)
