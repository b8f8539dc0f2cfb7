"""Logs as JSON lines on stderr, which outlive whoever reads them."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Any, cast

import structlog


def configure_logs() -> None:
    """Log from now on as a daemon and its keepers do. A line that cannot be written is lost, and no more.

    A terminal that was closed answers EIO, and a full disk ENOSPC: a run whose keeper logs goes on,
    or ends, as it would otherwise.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=structlog.PrintLoggerFactory(cast("Any", Unbreakable(sys.stderr.fileno()))),
    )


class Unbreakable:
    """A text file whose writes never fail."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, text: str) -> int:
        """Write it at once, as far as that is possible."""
        with contextlib.suppress(OSError):
            os.write(self._descriptor, text.encode(errors="replace"))
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""
