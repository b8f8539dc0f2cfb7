"""runtime.audit.ocsf: each kind of line is an event with all that its class requires (schema.ocsf.io, 1.3.0)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.audit.chain import Line, genesis, read_line, seal
from runtime.audit.ocsf import to_ocsf

BASE = {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"}
REQUIRED = {
    4001: BASE | {"src_endpoint", "dst_endpoint"},
    4002: BASE | {"src_endpoint", "dst_endpoint", "http_request"},
    4003: BASE | {"src_endpoint", "dst_endpoint", "query"},
    6003: BASE | {"actor", "api", "src_endpoint"},
}
DECISION = {
    "verdict": "allow",
    "reason_code": None,
    "rule_id": "p.allow[0]",
    "policy": "p",
    "entry": "explicit",
    "method": "POST",
    "host": "api.openai.com",
    "port": 443,
    "path": "/v1/chat",
}
CASES: dict[str, tuple[str, dict[str, Any], int, int]] = {
    "a request": ("decision", DECISION, 4002, 6),
    "a method that OCSF has not": ("decision", {**DECISION, "method": "PROPFIND"}, 4002, 99),
    "a tunnel": ("decision", {**DECISION, "method": "CONNECT", "path": None}, 4001, 1),
    "a refusal": ("decision", {**DECISION, "verdict": "deny", "reason_code": "host_denied"}, 4002, 6),
    "a lookup": ("decision", {**DECISION, "entry": "dns", "method": "AAAA", "path": None}, 4003, 1),
    "nothing asked yet": ("decision", {"verdict": "deny", "host": "", "method": None}, 4001, 1),
    "a call": ("api.call", {"request": "r", "method": "POST", "path": "/v1/runs"}, 6003, 1),
    "an answer": ("api.answer", {"method": "GET", "path": "/v1/runs", "status": 200}, 6003, 2),
    "a refused caller": ("api.refused", {"method": "PATCH", "peer": "192.0.2.1", "status": 401}, 6003, 3),
    "a secret": ("secret.read", {"secrets": ["A"]}, 6003, 2),
    "a policy": ("policy.load", {"policy": "p"}, 6003, 2),
    "a run's end": ("run.ended", {"state": "failed", "code": "SANDBOX_ERROR"}, 6003, 99),
    "missing lines": ("audit.missing", {"seq": 3}, 6003, 99),
    "nothing": ("x", {}, 6003, 99),
}


def line(kind: str, data: object, at: object = 1.5) -> Line:
    """As it is read from a file."""
    sealed, _ = seal({"at": at, "kind": kind, "who": "uid:0", "data": data}, genesis("i"))
    found = read_line(sealed, "f:1")
    assert isinstance(found, Line)
    return found


@pytest.mark.parametrize("case", CASES)
def test_every_kind_has_what_its_class_requires(case: str):
    """And numbers that belong together."""
    kind, data, class_uid, activity = CASES[case]
    event = to_ocsf(line(kind, data), installation="i", product_version="1")
    assert (event["class_uid"], event["activity_id"]) == (class_uid, activity)
    assert event.keys() >= REQUIRED[class_uid]
    assert event["type_uid"] == class_uid * 100 + activity
    assert event["category_uid"] == class_uid // 1000
    assert event["time"] == 1500
    assert event["metadata"]["uid"] == "i:1"
    assert event["unmapped"]["data"] == data
    for endpoint in (event["src_endpoint"], event.get("dst_endpoint", {"name": "x"})):
        assert set(endpoint) & {"ip", "uid", "name", "hostname"}
    if activity == 99:
        assert event["activity_name"]
    json.dumps(event, allow_nan=False)


def test_a_refusal_says_who_refused_what():
    """By the profile Security Control."""
    kind, data, *_ = CASES["a refusal"]
    event = to_ocsf(line(kind, data), installation="i", product_version="1")
    assert (event["action_id"], event["disposition_id"], event["status_id"]) == (2, 2, 2)
    assert (event["status_code"], event["policy"]) == ("host_denied", {"name": "p"})
    assert event["metadata"]["profiles"] == ["security_control"]
    assert event["severity_id"] == 2


@pytest.mark.parametrize("data", [None, [], "x", 7, {"port": "x", "path": 7, "method": {}, "status": "x"}])
@pytest.mark.parametrize("kind", ["decision", "api.call"])
def test_what_no_daemon_writes_is_no_failure(kind: str, data: object):
    """An audit that was tampered with is exported, too."""
    for at in (1.0, "x", None, 1e300):
        event = to_ocsf(line(kind, data, at), installation="i", product_version="1")
        assert event.keys() >= BASE
