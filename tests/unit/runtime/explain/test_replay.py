"""A recorded decision under another policy: what changes, what does not, and what no line can tell."""

from __future__ import annotations

import dataclasses
import ipaddress

import pytest

from proxy.contract.decision_line import MAX_TEXT, DecisionLine, decision_line
from proxy.policy.hosts import HostPattern
from proxy.policy.llm import with_llm
from proxy.policy.model import AllowRule, Decision, Policy, TlsMode, Verdict
from proxy.policy.reasons import ReasonCode
from runtime.explain.replay import Change, Outcome, Policies, is_told_by, replay_line


def rule(index: int, host: str, **more) -> AllowRule:
    """A rule of policy t."""
    return AllowRule(id=f"t.allow[{index}]", host=HostPattern.parse(host), **more)


OLD = Policy(
    name="t",
    allow=(
        rule(0, "api.test", methods=frozenset({"GET"}), paths=("/v1/*",)),
        rule(1, "pass.test", tls=TlsMode.PASSTHROUGH),
        rule(2, "plain.test", ports=frozenset({80, 443})),
        rule(3, "llm.test", credential="A_KEY", pin_credential=True),
    ),
)


def line(verdict: str = "allow", **more) -> DecisionLine:
    """A line of the proxy's; `GET https://plain.test/x` unless it is said otherwise."""
    reason, rule_id, tls = more.pop("reason", None), more.pop("rule_id", None), more.pop("tls", None)
    values = {
        "at": 1.0,
        "sandbox_id": "r",
        "policy_name": "t",
        "entry": "explicit",
        "client_port": 1,
        "method": "GET",
        "host": "plain.test",
        "port": 443,
        "path": "/x",
        "request_id": "1",
    }
    code = ReasonCode(reason) if reason else None
    return decision_line(
        Decision(Verdict(verdict), code, rule_id, tls and TlsMode(tls)), **{**values, **more}
    )


PLAIN = line(rule_id="t.allow[2]", tls="inspect")
API = line(host="api.test", path="/v1/x", rule_id="t.allow[0]", tls="inspect")
LLM = line(host="llm.test", rule_id="t.allow[3]", tls="inspect")
PASSED = line(method="TLS", path=None, host="pass.test", rule_id="t.allow[1]", tls="passthrough")
EVIL = line("deny", method="CONNECT", path=None, host="evil.test", reason="not_allowed_host")
BY_METHOD = line("deny", method="POST", host="api.test", path="/v1/x", reason="method", rule_id="t.allow[0]")
SPENT = line("deny", reason="budget_requests")


def having(*rules: AllowRule, **more) -> Policy:
    """The old policy with other rules in the places of those for the same hosts, or behind them."""
    hosts = {one.host for one in rules}
    return dataclasses.replace(
        OLD, allow=(*(one for one in OLD.allow if one.host not in hosts), *rules), **more
    )


def lacking(host: str) -> Policy:
    """The old policy without the rule for a host."""
    return dataclasses.replace(OLD, allow=tuple(one for one in OLD.allow if str(one.host) != host))


ONLY_GET = having(rule(2, "plain.test", ports=frozenset({80, 443}), methods=frozenset({"GET"})))
TOLD = {
    "nothing was changed": (PLAIN, OLD, Change.UNCHANGED, None),
    "a change elsewhere": (PLAIN, lacking("api.test"), Change.UNCHANGED, None),
    "a host that goes": (PLAIN, lacking("plain.test"), Change.REFUSED, "not_allowed_host"),
    "a path that goes": (API, having(rule(0, "api.test", paths=("/v2",))), Change.REFUSED, "path"),
    "a host that comes": (EVIL, having(rule(4, "evil.test")), Change.ALLOWED, None),
    "one whose address is known and private": (
        EVIL,
        having(rule(4, "evil.test"), resolve={"evil.test": ("10.0.0.1",)}),
        Change.OTHER_REASON,
        "private_address",
    ),
    "one on another port": (
        EVIL,
        having(rule(4, "evil.test", ports=frozenset({8443}))),
        Change.OTHER_REASON,
        "port",
    ),
    "a rule by another name": (
        PLAIN,
        having(rule(9, "plain.test", ports=frozenset({80, 443}))),
        Change.OTHER_RULE,
        None,
    ),
    "a connection that is passed through still": (PASSED, lacking("api.test"), Change.UNCHANGED, None),
    "a host that is passed through now": (
        BY_METHOD,
        having(rule(0, "api.test", tls=TlsMode.PASSTHROUGH)),
        Change.ALLOWED,
        None,
    ),
    "a credential's host, where nothing of it was changed": (
        LLM,
        lacking("api.test"),
        Change.UNCHANGED,
        None,
    ),
    "a refused method, refused for its path now": (
        BY_METHOD,
        having(rule(0, "api.test", paths=("/v2",))),
        Change.OTHER_REASON,
        "path",
    ),
    "a head that was malformed": (
        line("deny", host="", port=None, path=None, reason="bad_request"),
        lacking("plain.test"),
        Change.UNCHANGED,
        "bad_request",
    ),
    "a method that is never carried": (
        line("deny", method="TRACE", reason="method"),
        lacking("plain.test"),
        Change.UNCHANGED,
        "method",
    ),
    "a server name that is an address": (
        line("deny", method="TLS", path=None, host="10.0.0.1", reason="ip_literal"),
        having(rule(4, "10.0.0.1"), allow_private=(ipaddress.ip_network("10.0.0.0/8"),)),
        Change.UNCHANGED,
        "ip_literal",
    ),
    "a question for a name": (
        line(
            "deny", entry="dns", method="A", host="evil.test", port=443, path=None, reason="not_allowed_host"
        ),
        having(rule(4, "evil.test", ports=frozenset({9}))),
        Change.ALLOWED,
        None,
    ),
    "a foreign credential, where nothing of the host was changed": (
        line("deny", host="llm.test", reason="foreign_credential", rule_id="t.allow[3]"),
        lacking("api.test"),
        Change.UNCHANGED,
        "foreign_credential",
    ),
    "the router, where the manifest does not ask for it": (
        line("deny", host="llm.internal", port=80, path="/v1/x", reason="not_allowed_host"),
        having(rule(4, "llm.internal", ports=frozenset({80}))),
        Change.UNCHANGED,
        "not_allowed_host",
    ),
}


@pytest.mark.parametrize(("recorded", "new", "change", "reason"), TOLD.values(), ids=TOLD.keys())
def test_what_a_line_tells_is_told(
    recorded: DecisionLine, new: Policy, change: Change, reason: str | None
) -> None:
    """With the reason that the new policy gives."""
    replayed = replay_line(recorded, Policies(new, OLD))
    assert (replayed.change, replayed.why) == (change, "")
    assert replayed.new is not None
    assert replayed.new.reason_code == reason


PINNED_TOO = having(rule(2, "plain.test", ports=frozenset({443}), credential="A_KEY", pin_credential=True))
UNKNOWN = {
    "a method's rule, which an override could get round": (PLAIN, ONLY_GET, OLD, "headers"),
    "a credential that comes": (PLAIN, PINNED_TOO, OLD, "headers"),
    "what passes beside a credential": (LLM, having(rule(3, "llm.test", credential="A_KEY")), OLD, "headers"),
    "a name that is brokered elsewhere now": (
        PLAIN,
        having(rule(4, "b.test", credential="B_KEY")),
        OLD,
        "headers",
    ),
    "a request, where the old policy is not known": (PLAIN, OLD, None, "headers"),
    "a request, where the old policy was another": (PLAIN, OLD, lacking("plain.test"), "headers"),
    "a refused method that is allowed now": (
        BY_METHOD,
        having(rule(0, "api.test", methods=frozenset({"GET", "POST"}))),
        OLD,
        "headers",
    ),
    "a connection that is inspected now": (PASSED, having(rule(1, "pass.test")), OLD, "passed through"),
    "a path that was cut": (
        line(host="api.test", path="/v1/" + "a" * MAX_TEXT, rule_id="t.allow[0]", tls="inspect"),
        having(rule(0, "api.test", methods=frozenset({"GET"}), paths=("/v1/*", "/v3/*"))),
        OLD,
        "long path",
    ),
    "what was spent": (SPENT, lacking("api.test"), OLD, "spent"),
    "a line that is masked": (
        line("deny", host="***", reason="secret_leak"),
        lacking("api.test"),
        OLD,
        "host",
    ),
    "lines that were not written": (line("deny", reason="port", suppressed=7), OLD, OLD, "too fast"),
    "a private address, where the operator's list is another": (
        line("deny", method="CONNECT", path=None, reason="private_address"),
        having(allow_private=(ipaddress.ip_network("10.0.0.0/8"),)),
        OLD,
        "address",
    ),
}


@pytest.mark.parametrize(("recorded", "new", "old", "why"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_a_line_does_not_hold_is_not_guessed(
    recorded: DecisionLine, new: Policy, old: Policy | None, why: str
) -> None:
    """It says what is missing."""
    replayed = replay_line(recorded, Policies(new, old))
    assert replayed.change is Change.CANNOT_BE_TOLD
    assert why in replayed.why


def test_what_the_rules_alone_say_is_told_beside_it() -> None:
    """So that a person knows where to look."""
    replayed = replay_line(PLAIN, Policies(ONLY_GET, OLD))
    assert replayed.new == Outcome("allow", None, "t.allow[2]")


def test_a_policy_is_the_one_of_a_line_where_it_gives_what_is_recorded() -> None:
    """An edit since then shows, and is no reason to guess."""
    assert is_told_by(OLD, PLAIN)
    assert is_told_by(OLD, BY_METHOD)
    assert is_told_by(OLD, line("deny", host="llm.test", reason="foreign_credential", rule_id="t.allow[3]"))
    assert not is_told_by(OLD, line(rule_id="t.allow[7]", tls="inspect"))
    assert not is_told_by(OLD, line(rule_id="t.allow[2]", tls="passthrough"))
    assert not is_told_by(OLD, line("deny", reason="not_allowed_host"))


def test_the_routers_rule_is_known() -> None:
    """It is in no file."""
    asked = line(host="llm.internal", port=80, path="/v1/models", rule_id="llm", tls="inspect")
    assert (
        replay_line(asked, Policies(with_llm(lacking("api.test")), with_llm(OLD))).change is Change.UNCHANGED
    )
