"""The decision line: what is written is what is read, and nothing else is."""

from __future__ import annotations

import json
from typing import get_type_hints

import pytest

from proxy.contract.decision_line import MAX_TEXT, DecisionLine, decision_line, decision_line_from_wire
from proxy.policy.model import Decision, TlsMode, Verdict
from proxy.policy.reasons import ReasonCode

DENIED = Decision(reason_code=ReasonCode.PATH, rule_id="t.allow[0]", detail="this path is not allowed")
LINE = decision_line(
    DENIED,
    at=1700000000.1234,
    sandbox_id="run-1",
    policy_name="t",
    entry="explicit",
    client_port=40000,
    method="GET",
    host="api.test",
    port=443,
    path="/v1/files?key=of-the-query",
    request_id="r",
)
BARE = decision_line(
    Decision(Verdict.ALLOW, tls=TlsMode.PASSTHROUGH),
    at=1700000000,
    sandbox_id=None,
    policy_name=None,
    entry="sni",
    client_port=None,
    method=None,
    host="",
    port=None,
    path=None,
    request_id="r",
)


@pytest.mark.parametrize("line", [LINE, BARE], ids=["full", "bare"])
def test_a_line_survives_the_wire(line: DecisionLine) -> None:
    """What the proxy writes is what the daemon reads, every field of it."""
    assert decision_line_from_wire(json.loads(json.dumps(line))) == line
    assert set(line) == set(get_type_hints(DecisionLine))


def test_a_line_says_when_and_hides_the_query() -> None:
    """The time is the caller's, in milliseconds at the finest."""
    assert (LINE["at"], LINE["path"], LINE["reason_code"]) == (1700000000.123, "/v1/files", "path")


def test_what_a_client_chose_is_cut() -> None:
    """A line's size is bounded whatever the client sends."""
    long = "x" * 9999
    line = decision_line(
        Decision(detail=long),
        at=0,
        sandbox_id=None,
        policy_name=None,
        entry="sni",
        client_port=None,
        method=long,
        host=long,
        port=None,
        path=long,
        request_id="r",
    )
    assert {len(str(line[name])) for name in ("method", "host", "path", "detail")} == {MAX_TEXT}


DEFECTS = {
    "at": ["now", None, True, float("nan"), 10**400],
    "sandbox_id": [7],
    "request_id": [None, 7],
    "verdict": ["ALLOW", None, 1, []],
    "reason_code": ["no_such_code", 7],
    "rule_id": [7],
    "policy": [7],
    "entry": [None],
    "client_port": ["80", True, -1],
    "method": [7],
    "host": [None],
    "port": ["443"],
    "path": [7],
    "tls": ["off"],
    "suppressed": [None, -1, 1.5],
    "detail": [None],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in DEFECTS for value in DEFECTS[name]])
def test_a_field_that_is_not_the_proxys_is_refused(name: str, value: object) -> None:
    """A line that the proxy could not have written is no run's record."""
    with pytest.raises(ValueError, match=f"^decision line field {name}: "):
        decision_line_from_wire({**LINE, name: value})


def test_every_field_is_checked() -> None:
    """A field that is added to the line is one that the reader knows and a defect above trips."""
    assert set(DEFECTS) == set(get_type_hints(DecisionLine))


@pytest.mark.parametrize("data", [None, [], "x", {}, {**LINE, "body": ""}, {"host": "x"}], ids=str)
def test_what_has_not_exactly_the_fields_is_refused(data: object) -> None:
    """No field is guessed, none is ignored."""
    with pytest.raises(ValueError, match=r"^a decision line has exactly the fields at, sandbox_id, "):
        decision_line_from_wire(data)
