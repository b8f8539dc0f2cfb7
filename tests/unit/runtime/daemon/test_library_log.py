"""runtime.daemon.library_log: lines that anybody can cause are bounded, and quote nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from runtime.daemon import library_log as module
from runtime.daemon.library_log import MINUTE_S, LibraryLog


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """A library's."""
    made = logging.getLogger("a-library")
    made.handlers, made.propagate = [LibraryLog("server")], False
    yield made
    made.handlers, made.propagate = [], True


def test_a_flood_is_a_few_lines(log: logging.Logger, monkeypatch: pytest.MonkeyPatch):
    """Sixty, then one a minute, which says how many were left out. An error has its line all the same."""
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    now = 1000.0
    with capture_logs() as lines:
        for _ in range(1000):
            log.warning("Invalid HTTP request received.")
        assert len(lines) == 60
        log.error("something else")
        assert lines[-1] == {"event": "server", "log_level": "warning", "detail": "something else"}
        now += MINUTE_S
        for _ in range(10):
            log.warning("Invalid HTTP request received.")
    assert (len(lines), lines[-1]["suppressed"]) == (62, 940)


def test_of_a_traceback_only_the_places_are_written(log: logging.Logger):
    """Its text, and the second line of a message, may quote a request."""
    with capture_logs() as lines:
        try:
            int("a-secret")
        except ValueError:
            log.exception("it failed\na-secret")
    assert "a-secret" not in str(lines)
    assert (lines[0]["detail"], lines[0]["error"]) == ("it failed", "ValueError")
    assert __file__ in lines[0]["where"][0]
