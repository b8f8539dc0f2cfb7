"""Why a daemon ended: the one line of its log that a caller who started it is told of. Pure.

log.error(**said(exc))
error = heard(lines)            # with the daemon's own message, hint, code and exit status
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from runtime.errors import OrchError

EVENT = "daemon-ended"


class DaemonEndedError(OrchError):
    """An error of a daemon's, told by the command that started it."""

    def __init__(self, message: str, *, hint: str | None, code: str, exit_status: int) -> None:
        """As the daemon said it."""
        super().__init__(message, hint=hint, code=code)
        self._exit_status = exit_status

    @property
    def exit_status(self) -> int:
        """The daemon's own."""
        return self._exit_status


def said(error: OrchError) -> dict[str, object]:
    """The fields of the log's line."""
    return {
        "event": EVENT,
        "code": error.reported_code,
        "error": error.message,
        "hint": error.hint,
        "exit_status": error.exit_status,
    }


def heard(lines: Iterable[str]) -> DaemonEndedError | None:
    """The error that the last such line tells of, or None where there is none."""
    for line in reversed([*lines]):
        try:
            fields = json.loads(line)
            if fields["event"] == EVENT:
                hint = str(fields["hint"]) if fields["hint"] else None
                status = int(fields["exit_status"])
                return DaemonEndedError(
                    str(fields["error"]), hint=hint, code=str(fields["code"]), exit_status=status
                )
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return None
