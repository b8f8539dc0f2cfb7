"""What a daemon said as it ended is what its caller is told; nothing else in its log is taken for it."""

from __future__ import annotations

import json

import pytest

from runtime.daemon.last_words import heard, said
from runtime.errors import ConflictError, InterruptedRunError, NotReadyError, OrchError


@pytest.mark.parametrize(
    "error",
    [
        ConflictError("another one", hint="orch down"),
        NotReadyError("no engine"),
        OrchError("odd", code="STRANGE"),
        InterruptedRunError("cancelled"),
    ],
)
def test_what_is_said_is_heard(error: OrchError):
    """Message, hint, code and exit status, whatever else the log has."""
    found = heard(
        ["{}", "[]", json.dumps(said(ConflictError("before"))), json.dumps(said(error)), "error: x"]
    )

    assert found is not None
    assert (found.message, found.hint) == (error.message, error.hint)
    assert (found.reported_code, found.exit_status) == (error.reported_code, error.exit_status)


@pytest.mark.parametrize(
    "line",
    ["", "error: x", "[" * 100_000, "7", '{"event": "daemon-ended"}', '{"event": "other", "error": "x"}'],
)
def test_what_is_no_such_line_is_none(line: str):
    """A log without it, or with half of it, tells nothing."""
    assert heard([line]) is None
    assert heard([]) is None
