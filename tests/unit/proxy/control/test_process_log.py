"""The process's log: masked, one line for each cause, and nothing at all where it cannot be masked."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from proxy.control.audit import EVENT_LOGGER
from proxy.control.process_log import MAX_CHARS, UNMASKED, WINDOW_S, ProcessLog

VALUE = "a-value-of-it"


class Log:
    """A log that is written to a list, with a clock that is set."""

    def __init__(self, mask: Any = lambda text: text.replace(VALUE, "***")) -> None:
        self.now = 0.0
        self.lines: list[dict[str, Any]] = []
        self.handler = ProcessLog(mask, lambda text: self.lines.append(json.loads(text)), lambda: self.now)


def warn(text: str) -> None:
    """One cause."""
    logging.getLogger("mitmproxy.proxy.server").warning(text)


def test_a_line_is_masked_with_its_arguments_and_its_traceback() -> None:
    """All of a record's text; and it stays one line."""
    log = Log()
    with log.handler.in_place():
        try:
            int(VALUE)
        except ValueError:
            logging.getLogger("mitmproxy").exception("crashed: %s\n", VALUE)
    [line] = log.lines
    assert (line["level"], line["logger"]) == ("error", "mitmproxy")
    assert line["event"].startswith("crashed: ***\n")
    assert "literal for int() with base 10: '***'" in line["event"]
    assert VALUE not in str(line)


def test_a_cause_is_one_line_and_then_a_count() -> None:
    """Whatever its text; another cause has a line of its own."""
    log = Log()
    with log.handler.in_place():
        for number in range(142):
            warn(f"handshake {number} failed")
        logging.getLogger("other").error("another")
        log.handler.sweep()
        assert [line["event"] for line in log.lines] == ["handshake 0 failed", "another"]
        log.now = WINDOW_S
        log.handler.sweep()
        assert log.lines[2:] == [
            {"event": "repeated", "count": 141, "level": "warning", "logger": "mitmproxy.proxy.server"}
        ]
        warn("once more")
    assert log.lines[-1]["event"] == "once more"


def test_a_decision_is_no_cause() -> None:
    """Each is written, masked, as it is: it has a bound of its own."""
    log = Log()
    audit = logging.getLogger(EVENT_LOGGER)
    audit.setLevel(logging.INFO)
    with log.handler.in_place():
        for _ in range(3):
            audit.info(json.dumps({"event": "egress-decision", "host": VALUE, "path": "p" * 2 * MAX_CHARS}))
    audit.setLevel(logging.NOTSET)
    assert [line["host"] for line in log.lines] == ["***"] * 3
    assert len(log.lines[0]["path"]) == 2 * MAX_CHARS


def test_what_is_no_warning_is_not_written() -> None:
    """mitmproxy tells of each connection."""
    log = Log()
    with log.handler.in_place():
        logging.getLogger("mitmproxy.proxy.server").info("client connect")
        log.handler.emit(logging.LogRecord("m", logging.INFO, "f", 1, "client connect", None, None))
    assert log.lines == []


def test_a_line_is_bounded_once_it_is_masked() -> None:
    """A cut value could not be recognised."""
    log = Log()
    with log.handler.in_place():
        warn("x" * (MAX_CHARS - 5) + VALUE + "y" * MAX_CHARS)
    assert log.lines[0]["event"] == "x" * (MAX_CHARS - 5) + "***yy"


def test_what_cannot_be_masked_is_not_written() -> None:
    """Any bug there costs the line."""

    def boom(_text: str) -> str:
        raise ZeroDivisionError

    log = Log(boom)
    with log.handler.in_place():
        warn(f"quotes {VALUE}")
    assert [line["event"] for line in log.lines] == [UNMASKED]


@pytest.mark.parametrize("is_in_place", [True, False])
def test_it_handles_while_it_is_in_place(is_in_place: bool) -> None:
    """No longer than the server runs."""
    log = Log()
    with log.handler.in_place():
        warn("in") if is_in_place else None
    if not is_in_place:
        warn("out")
    assert len(log.lines) == is_in_place
