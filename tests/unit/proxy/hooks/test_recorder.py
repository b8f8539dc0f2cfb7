"""The one way to write a line masks what it writes."""

from __future__ import annotations

import json
from pathlib import Path

from proxy.admission.session import UNKNOWN_ORIGIN
from proxy.destination.judge import Judged
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import EXPIRED, deny
from tests.unit.proxy.hooks.conftest import DB, GRANT, TRUE, Wired


def test_every_text_of_a_line_is_masked(wired: Wired) -> None:
    """Host, path, method and detail, as it is or spelt otherwise."""
    judged = Judged(f"{DB}.test", 1, deny(ReasonCode.BAD_HOST, f"not {TRUE}"))
    wired.hooks.recorder.record(
        GRANT, UNKNOWN_ORIGIN, judged, method=DB, path=f"/{DB.encode().hex()}?q=1", request_id="r"
    )
    [line] = wired.lines
    assert (line["host"], line["path"], line["method"], line["detail"]) == ("***", "***", "***", "***")
    assert DB not in json.dumps(line)


def test_a_client_is_told_no_more_than_the_audit(wired: Wired) -> None:
    """The same mask is for problems."""
    judged = Judged(f"{DB}.test", 1, deny(ReasonCode.BAD_HOST, "odd"))
    assert wired.hooks.recorder.masked(GRANT, judged).host == "***"
    assert wired.hooks.recorder.masked(None, judged) is judged


def test_refusals_that_come_too_fast_are_counted(wired: Wired) -> None:
    """The id is made up all the same; the count is told later."""
    wired.session("c")
    for _ in range(1000):
        assert wired.hooks.recorder.record(
            GRANT, UNKNOWN_ORIGIN, Judged("x", 1, deny(ReasonCode.BAD_HOST, "odd"))
        )
    written = len(wired.lines)
    assert 0 < written < 1000
    wired.hooks.drop_sandbox("run-1")
    assert sum(line["suppressed"] for line in wired.lines) == 1000 - written


def test_nothing_else_writes_to_the_audit() -> None:
    """A line that goes round the recorder would go round the mask."""
    root = Path(__file__).parents[4] / "proxy"
    writers = [p.name for p in root.rglob("*.py") if "decision_line(" in p.read_text()]
    assert sorted(writers) == ["decision_line.py", "recorder.py"]


def test_an_expired_grant_still_masks(wired: Wired) -> None:
    """Between a grant's end and the cut of its connections, a line hides what it hid before."""
    judged = Judged(f"{DB}.test", 1, EXPIRED)
    wired.hooks.recorder.record(None, UNKNOWN_ORIGIN, judged, path=f"/{DB}", sandbox_id="run-1")
    [line] = wired.lines
    assert DB not in json.dumps(line)
    assert (line["host"], line["path"], line["reason_code"]) == ("***", "***", "expired")


def test_with_nothing_to_mask_by_a_line_says_nothing_of_what_was_asked(wired: Wired) -> None:
    """A sandbox whose grant has been taken back may have named a value of it."""
    wired.grants.drop("run-1")
    judged = Judged(f"{DB}.test", 1, EXPIRED)
    wired.hooks.recorder.record(None, UNKNOWN_ORIGIN, judged, method=DB, path=f"/{DB}", sandbox_id="run-1")
    [line] = wired.lines
    assert (line["host"], line["method"], line["path"], line["sandbox_id"]) == ("", None, None, "run-1")
