"""A replay's document: every decision is counted once, and equal ones are one entry."""

from __future__ import annotations

from runtime.explain.replay import Change
from runtime.explain.replay_report import replay
from tests.unit.runtime.explain.test_replay import API, BY_METHOD, EVIL, OLD, PLAIN, lacking, line


def test_each_decision_is_counted_and_each_change_is_named() -> None:
    """Suppressed ones by their number."""
    many = line("deny", reason="port", suppressed=7)
    data = replay([PLAIN, PLAIN, API, EVIL, BY_METHOD, many], lacking("plain.test"), lambda name: OLD)
    assert data["decisions"] == 12
    assert data["counts"] == {
        **dict.fromkeys((change.value for change in Change), 0),
        "unchanged": 3,
        "allowed_to_refused": 2,
        "cannot_be_told": 7,
    }
    assert data["changed"] == [
        {
            "change": "allowed_to_refused",
            "times": 2,
            "first_at": 1.0,
            "entry": "explicit",
            "method": "GET",
            "host": "plain.test",
            "port": 443,
            "path": "/x",
            "tls": "inspect",
            "policy": "t",
            "was": {"verdict": "allow", "reason_code": None, "rule_id": "t.allow[2]"},
            "would_be": {"verdict": "deny", "reason_code": "not_allowed_host", "rule_id": None},
            "missing": None,
        }
    ]
    assert [(entry["times"], entry["would_be"]) for entry in data["cannot_be_told"]] == [(7, None)]
    assert data["judged_by_another_policy"] == {}


def test_lines_of_an_unknown_policy_are_said_to_be() -> None:
    """One that is gone, and one that was edited."""
    assert replay([PLAIN], OLD, lambda name: None)["judged_by_another_policy"] == {"t": 1}
    assert replay([PLAIN], OLD, lambda name: lacking("plain.test"))["judged_by_another_policy"] == {"t": 1}


def test_a_refusal_that_no_policy_made_is_none_of_another() -> None:
    """It names no host, or rests on what was spent."""
    lines = [
        line("deny", host="", port=None, path=None, reason="bad_request"),
        line("deny", host="", port=None, path=None, reason="no_grant", policy_name=None),
        line("deny", reason="budget_requests"),
        line("deny", host="***", reason="secret_leak"),
    ]
    assert replay(lines, lacking("api.test"), lambda name: OLD)["judged_by_another_policy"] == {}


def test_a_run_with_the_router_is_replayed_with_it() -> None:
    """Its lines tell."""
    asked = line(host="llm.internal", port=80, path="/v1/models", rule_id="llm", tls="inspect")
    other = line(
        "deny", sandbox_id="s", host="llm.internal", port=80, path="/v1/x", reason="not_allowed_host"
    )
    counts = replay([asked, other], lacking("api.test"), lambda name: OLD)["counts"]
    assert counts["unchanged"] == 2, "another run, whose agent had none, is replayed without"


def test_nothing_is_a_replay_too() -> None:
    """Of a run that asked for nothing."""
    data = replay([], OLD, lambda name: OLD)
    assert (data["decisions"], data["changed"], data["cannot_be_told"]) == (0, [], [])
