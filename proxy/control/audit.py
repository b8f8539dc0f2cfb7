"""Where each decision line (`proxy.contract.decision_line`) goes: to stderr, and to the daemon."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from proxy.contract.decision_line import DecisionLine

EVENT = "egress-decision"
EVENT_LOGGER = __name__
"""By which `proxy.control.process_log` knows these lines."""


class Audit:
    """Writes each line to stderr and hands it to the listener (the control connection)."""

    def __init__(self) -> None:
        self._log = structlog.get_logger(EVENT_LOGGER)
        self.listener: Callable[[DecisionLine], None] | None = None

    def record(self, line: DecisionLine) -> None:
        """Write one decision line to stderr, and hand it to the daemon."""
        self._log.info(EVENT, **line)
        if self.listener is not None:
            self.listener(line)
