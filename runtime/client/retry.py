"""Making something once over a connection that may break: the same request under the same key, sent again."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from runtime.errors import DaemonUnreachableError, OrchError

HEADER = "Idempotency-Key"
WAITS_S = (0.2, 1.0, 3.0, 5.0)
"""Before each further attempt."""
GIVE_UP_S = 90.0
"""No attempt begins after this."""
MAX_WAIT_S = 10.0
"""However long a daemon asks to be left alone."""


class LostAnswerError(DaemonUnreachableError):
    """The request may have been worked on: its answer did not come."""


def make_once(send: Callable[[dict[str, str]], dict[str, Any]]) -> dict[str, Any]:
    """Send it with a key of its own, which `send` is given as a header, until there is an answer.

    Raises what `send` raises. Where no daemon answered the first time nothing was made, and nothing is tried
    again; what a daemon refuses for good is not tried again either.
    """
    headers = {HEADER: str(uuid.uuid4())}
    began, was_lost = time.monotonic(), False
    for wait_s in WAITS_S:
        try:
            return send(headers)
        except LostAnswerError:
            was_lost = True
        except DaemonUnreachableError:  # between a daemon and the next one
            if not was_lost:
                raise
        except OrchError as exc:
            if not (was_lost and exc.is_retryable):
                raise
            wait_s = max(wait_s, min(exc.retry_after_s or 0.0, MAX_WAIT_S))  # noqa: PLW2901 - this once
        if time.monotonic() - began > GIVE_UP_S:
            break
        time.sleep(wait_s)
    return send(headers)
