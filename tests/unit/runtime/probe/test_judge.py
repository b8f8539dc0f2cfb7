"""runtime.probe.judge: what was seen on both sides, and what that means."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.probe.corpus.case import (
    Blocked,
    Case,
    Contained,
    Expect,
    Refused,
    Unreachable,
    Unresolved,
    Unverified,
    Works,
)
from runtime.probe.judge import judge
from runtime.probe.result import Inside, Outside, Verdict

HOST = frozenset({"not_allowed_host"})
DENY = {"verdict": "deny", "reason_code": "not_allowed_host"}
OTHER = {"verdict": "deny", "reason_code": "port"}
ALLOW = {"verdict": "allow", "reason_code": None}
REQUEST = {"headers": [("host", "ok.test")]}
FORBIDDEN = Inside("answered", "", (403,), ("not_allowed_host",))
FINE = Inside("answered", "", (200,), (None,))
CLOSED = Inside("closed", "alert")


def outside(*lines: dict[str, Any], requests: int = 0, sightings: tuple[str, ...] = ()) -> Outside:
    """What everybody else saw."""
    return Outside(tuple(lines), (REQUEST,) * requests, sightings)


ROWS: dict[str, tuple[Expect, Inside, Outside, Verdict]] = {
    "a refusal with its line holds": (Refused(HOST), FORBIDDEN, outside(DENY), Verdict.HELD),
    "a refusal without a line fails": (Refused(HOST), FORBIDDEN, outside(), Verdict.FAILED),
    "a refusal with two lines fails": (Refused(HOST), FORBIDDEN, outside(DENY, DENY), Verdict.FAILED),
    "a refusal with another reason in the audit fails": (
        Refused(HOST),
        FORBIDDEN,
        outside(OTHER),
        Verdict.FAILED,
    ),
    "a refusal with another reason for the client fails": (
        Refused(HOST),
        Inside("answered", "", (403,), ("port",)),
        outside(DENY),
        Verdict.FAILED,
    ),
    "a refusal that nobody reads fails": (Refused(HOST), CLOSED, outside(DENY), Verdict.FAILED),
    "a silent refusal holds": (Refused(HOST, is_silent=True), CLOSED, outside(DENY), Verdict.HELD),
    "a silent refusal that leaves the connection open fails": (
        Refused(HOST, is_silent=True),
        Inside("connected"),
        outside(DENY),
        Verdict.FAILED,
    ),
    "an answer of somebody else's is an escape": (Refused(HOST), FINE, outside(DENY), Verdict.ESCAPED),
    "a request at the upstream is an escape": (
        Refused(HOST),
        FORBIDDEN,
        outside(DENY, requests=1),
        Verdict.ESCAPED,
    ),
    "the one request that may go before is none": (
        Refused(HOST, upstream=1),
        Inside("answered", "", (200, 403), (None, "not_allowed_host")),
        outside(ALLOW, DENY, requests=1),
        Verdict.HELD,
    ),
    "a sighting is an escape whatever else was seen": (
        Refused(HOST),
        FORBIDDEN,
        outside(DENY, sightings=("a DNS question",)),
        Verdict.ESCAPED,
    ),
    "an attempt that never reported fails": (Blocked(), Inside(), outside(), Verdict.FAILED),
    "an attempt that crashed fails": (Unreachable(), Inside("error"), outside(), Verdict.FAILED),
    "a control that works holds": (Works(), FINE, outside(ALLOW, requests=1), Verdict.HELD),
    "a control that is refused fails": (Works(), FORBIDDEN, outside(DENY), Verdict.FAILED),
    "a control that nobody saw fails": (Works(), FINE, outside(ALLOW), Verdict.FAILED),
    "a control without a line fails": (Works(), FINE, outside(requests=1), Verdict.FAILED),
    "a control with a refusal beside it fails": (
        Works(),
        FINE,
        outside(ALLOW, DENY, requests=1),
        Verdict.FAILED,
    ),
    "a header that must not arrive is an escape": (
        Works(absent=("host",)),
        FINE,
        outside(ALLOW, requests=1),
        Verdict.ESCAPED,
    ),
    "a name that does not resolve holds": (Unresolved(), Inside("nxdomain"), outside(DENY), Verdict.HELD),
    "a name that resolves is an escape": (Unresolved(), Inside("resolved"), outside(DENY), Verdict.ESCAPED),
    "a name without a line fails": (Unresolved(), Inside("nxdomain"), outside(), Verdict.FAILED),
    "silence holds": (Unreachable(), Inside("silent"), outside(), Verdict.HELD),
    "a connection is an escape": (Unreachable(), Inside("connected"), outside(), Verdict.ESCAPED),
    "an answer is an escape": (Unreachable(), Inside("answered"), outside(), Verdict.ESCAPED),
    "a request where none can be is an escape": (
        Unreachable(),
        Inside("silent"),
        outside(requests=1),
        Verdict.ESCAPED,
    ),
    "what is blocked holds": (Blocked(), Inside("blocked"), outside(), Verdict.HELD),
    "what is possible is an escape": (Blocked(), Inside("possible"), outside(), Verdict.ESCAPED),
    "an unverified upstream that is a 502 holds": (
        Unverified(),
        Inside("answered", "", (502,), (None,)),
        outside(ALLOW),
        Verdict.HELD,
    ),
    "an unverified upstream that answers is an escape": (Unverified(), FINE, outside(), Verdict.ESCAPED),
    "an unverified upstream that is silent fails": (Unverified(), CLOSED, outside(), Verdict.FAILED),
    "a limit that is met holds": (Contained(), Inside("blocked"), outside(), Verdict.HELD),
    "no limit is an escape": (Contained(), Inside("possible"), outside(), Verdict.ESCAPED),
    "a limit without its line fails": (
        Contained("budget_bytes"),
        Inside("blocked"),
        outside(),
        Verdict.FAILED,
    ),
    "a limit with its line holds": (Contained("port"), Inside("blocked"), outside(OTHER), Verdict.HELD),
}


@pytest.mark.parametrize("row", ROWS)
def test_verdict(row: str):
    """Only what was seen as promised, on both sides, holds."""
    expect, inside, seen, verdict = ROWS[row]
    case = Case("X-01", "names", "a case", "exchange", {}, expect, "here")

    result = judge(case, inside, seen)

    assert result.verdict is verdict, result.why
    assert bool(result.why) is (verdict is not Verdict.HELD)
