"""One recorded decision under another policy, by the proxy's own decisions. Pure.

A decision line has no header, no query and no body, and does not say all of how it came about. So every way
in which it could have come about is judged (`Way`), and what they do not agree on cannot be told. What rests
on headers or body is told only where the two policies say the same about them.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, NamedTuple

from proxy.contract.decision_line import MASK, MAX_TEXT, DecisionLine
from proxy.destination.judge import judge_destination, override_kinds
from proxy.destination.sink import NameAnswers
from proxy.policy.bindings import Binding, binding_of, brokered_names
from proxy.policy.decide import decide, is_dialable
from proxy.policy.hosts import is_ip_literal
from proxy.policy.llm import LLM_HOST, NO_LLM, has_llm
from proxy.policy.model import NEVER_CARRIED, Decision, Policy, Request, TlsMode, Verdict
from proxy.policy.reasons import ReasonCode as Reason

STANDING = frozenset(
    {
        *(Reason.BAD_HOST, Reason.BAD_REQUEST, Reason.HOST_MISMATCH, Reason.SNI_MISMATCH, Reason.NO_SNI),
        *(Reason.NOT_TLS_OR_HTTP, Reason.NO_GRANT, Reason.EXPIRED),
    }
)
"""Refusals before any policy is asked: they stand under each."""
_SPENT = frozenset(
    {
        *(Reason.BUDGET_REQUESTS, Reason.BUDGET_BYTES, Reason.BUDGET_CONNECTIONS, Reason.BUDGET_TOKENS),
        *(Reason.BUDGET_COST, Reason.NO_PRICE, Reason.INTERNAL_ERROR, Reason.BAD_ANSWER),
    }
)
"""Refusals that rest on what came before or behind."""
_OF_ADDRESSES = frozenset({Reason.PRIVATE_ADDRESS, Reason.DNS_FAILURE, Reason.DNS_REBIND})
_OF_DESTINATIONS = frozenset({Reason.NOT_ALLOWED_HOST, Reason.DENIED_RULE, Reason.PORT, Reason.IP_LITERAL})
"""Made by the rules alone, on host and port."""
_BEFORE_A_REQUEST = frozenset({"CONNECT", "TLS"})


class Change(enum.StrEnum):
    """What another policy makes of a decision."""

    UNCHANGED = "unchanged"
    REFUSED = "allowed_to_refused"
    ALLOWED = "refused_to_allowed"
    OTHER_RULE = "other_rule"
    OTHER_REASON = "other_reason"
    CANNOT_BE_TOLD = "cannot_be_told"


class Outcome(NamedTuple):
    """A decision as a line tells it."""

    verdict: str
    reason_code: str | None
    rule_id: str | None


class Replayed(NamedTuple):
    """A line under the new policy."""

    change: Change
    new: Outcome | None
    """What it would be; where it cannot be told, what the rules alone would say, if they say one thing."""
    why: str = ""
    """What the line does not hold; empty where it is told."""


class Policies(NamedTuple):
    """What is compared; `old` is None where it is not known what the line was judged by."""

    new: Policy
    old: Policy | None


class Way(NamedTuple):
    """One way in which a line could have come about."""

    scheme: Literal["http", "https"]
    old_tripwire: bool
    new_tripwire: bool


class _UnknownError(Exception):
    """It rests on what no line holds; the text says on what."""


def is_told_by(old: Policy, line: DecisionLine) -> bool:
    """Whether a policy gives what is recorded, so that it may be the one that the line was judged by."""
    return any(_fits(old, line, way) for way in _ways(line, None))


def replay_line(line: DecisionLine, policies: Policies) -> Replayed:
    """Judge a line anew."""
    if line["suppressed"]:
        return Replayed(Change.CANNOT_BE_TOLD, None, "refusals that came too fast for lines of their own")
    old = policies.old if policies.old is not None and is_told_by(policies.old, line) else None
    recorded = Outcome(line["verdict"], line["reason_code"], line["rule_id"])
    if _stands(line) or (old is not None and old == policies.new):
        return Replayed(Change.UNCHANGED, recorded)
    if line["reason_code"] in _SPENT:
        return Replayed(Change.CANNOT_BE_TOLD, None, "what was spent before, or came back from upstream")
    if not _is_named(line):
        return Replayed(Change.CANNOT_BE_TOLD, None, "the host, port or path, which the line does not name")
    ways = [way for way in _ways(line, Policies(policies.new, old)) if old is None or _fits(old, line, way)]
    try:
        told = {_told(line, Policies(policies.new, old), way) for way in ways}
    except _UnknownError as exc:
        by_rules = {_outcome(_by_rules(policies.new, line, way)) for way in ways}
        return Replayed(Change.CANNOT_BE_TOLD, _only(by_rules), str(exc))
    new = _only(told)
    if new is None:
        return Replayed(Change.CANNOT_BE_TOLD, None, "the scheme, or whether the sandbox held secrets")
    return Replayed(_change(recorded, new), new)


def rests_on_rules(line: DecisionLine) -> bool:
    """Whether the policy that made the line can be recognised by it."""
    is_elsewhere = line["suppressed"] or _stands(line) or line["reason_code"] in _SPENT
    return not is_elsewhere and _is_named(line)


def _is_named(line: DecisionLine) -> bool:
    has_place = bool(line["host"]) and (line["port"] is not None or _is_dns(line))
    return has_place and MASK not in (line["host"], line["path"])


def _stands(line: DecisionLine) -> bool:
    """Whether it was refused before any policy was asked."""
    by_method = line["method"] in NEVER_CARRIED and line["reason_code"] == Reason.METHOD
    by_server_name = line["method"] == "TLS" and line["reason_code"] == Reason.IP_LITERAL
    return line["reason_code"] in STANDING or by_method or by_server_name


def _change(old: Outcome, new: Outcome) -> Change:
    if old.verdict != new.verdict:
        return Change.REFUSED if new.verdict == Verdict.DENY else Change.ALLOWED
    if old.reason_code != new.reason_code:
        return Change.OTHER_REASON
    return Change.UNCHANGED if old.rule_id == new.rule_id else Change.OTHER_RULE


def _only(outcomes: set[Outcome]) -> Outcome | None:
    return next(iter(outcomes)) if len(outcomes) == 1 else None


def _outcome(decision: Decision) -> Outcome:
    reason = decision.reason_code
    return Outcome(decision.verdict.value, reason and reason.value, decision.rule_id)


def _is_dns(line: DecisionLine) -> bool:
    return line["entry"] == "dns"


def _is_request(line: DecisionLine) -> bool:
    return line["path"] is not None and line["method"] not in _BEFORE_A_REQUEST and not _is_dns(line)


def _ways(line: DecisionLine, policies: Policies | None) -> Iterator[Way]:
    """Where both policies bind the same names, a sandbox with secrets under one has them under both."""
    old = policies.old if policies else None
    is_alike = policies is None or (old is not None and brokered_names(old) == brokered_names(policies.new))
    for scheme in _schemes(line):
        for old_tripwire in (False, True):
            for new_tripwire in (old_tripwire,) if is_alike else (False, True):
                yield Way(scheme, old_tripwire, new_tripwire)


def _schemes(line: DecisionLine) -> tuple[Literal["http", "https"], ...]:
    """Clear text on port 443 gets no further than host and port; a door of its own has one scheme."""
    if line["entry"] == "host":
        return ("http",)
    if line["entry"] == "sni" or not _is_request(line):
        return ("https",)
    if line["port"] == 443 and line["reason_code"] not in {*_OF_DESTINATIONS, Reason.METADATA_ADDRESS}:
        return ("https",)
    return ("http", "https")


def _by_rules(policy: Policy, line: DecisionLine, way: Way, *, is_old: bool = False) -> Decision:
    """The rules' word on what the line holds."""
    policy = replace(policy, has_tripwire=way.old_tripwire if is_old else way.new_tripwire)
    host, port = line["host"], line["port"] or 0
    if _is_dns(line):
        return NameAnswers().answer(policy, host).judged.decision
    destination = judge_destination(policy, host, port).decision
    if not _is_request(line):
        return destination
    is_unseen = destination.verdict is Verdict.ALLOW and destination.tls is TlsMode.PASSTHROUGH
    if way.scheme == "https" and is_unseen:
        return destination
    return decide(policy, _asked(line, way))


def _asked(line: DecisionLine, way: Way) -> Request:
    return Request(line["host"], line["port"] or 0, way.scheme, line["method"], line["path"])


def _fits(old: Policy, line: DecisionLine, way: Way) -> bool:
    """Whether this policy, this way, gives what is recorded."""
    said = _by_rules(old, line, way, is_old=True)
    if line["verdict"] == Verdict.ALLOW:
        recorded = (line["rule_id"], line["tls"])
        return said.verdict is Verdict.ALLOW and recorded == (said.rule_id, said.tls and said.tls.value)
    if said.verdict is Verdict.ALLOW:  # refused by what comes behind the rules
        return line["reason_code"] not in _OF_DESTINATIONS
    return (line["reason_code"], line["rule_id"]) == (_outcome(said).reason_code, said.rule_id)


def _told(line: DecisionLine, policies: Policies, way: Way) -> Outcome:
    """What the new policy would decide. Raises _UnknownError."""
    new, old = policies
    said = _by_rules(new, line, way)
    if said.verdict is not Verdict.ALLOW:
        return _outcome(said)
    if (refusal := _known_refusal(new, line["host"])) is not None:
        return _outcome(refusal)
    if line["verdict"] == Verdict.DENY and not _is_refused_by_rules(line, old, way):
        return _refused_behind(line, policies, way, said)
    if not _is_request(line):
        if line["tls"] == TlsMode.PASSTHROUGH and said.tls is TlsMode.INSPECT:
            raise _UnknownError("what was sent in a connection that was passed through")
    elif not (way.scheme == "https" and said.tls is TlsMode.PASSTHROUGH):
        _check_request(line, policies, way)
    return _outcome(said)


def _is_refused_by_rules(line: DecisionLine, old: Policy | None, way: Way) -> bool:
    """Whether the rules alone refused it, and not what comes behind them."""
    if line["reason_code"] in _OF_DESTINATIONS:
        return True
    return old is not None and _by_rules(old, line, way, is_old=True).verdict is not Verdict.ALLOW


def _known_refusal(new: Policy, host: str) -> Decision | None:
    """The refusal for an address that is known without a lookup."""
    if host == LLM_HOST:
        return None if has_llm(new) else NO_LLM
    for address in (host,) if is_ip_literal(host) else new.resolve.get(host, ()):
        decision = is_dialable(new, host, address)
        if decision.verdict is not Verdict.ALLOW:
            return decision
    return None


def _check_request(line: DecisionLine, policies: Policies, way: Way) -> None:
    """Raise _UnknownError where it rests on more of the request than the line holds."""
    new, old = policies
    _check_path(new, line)
    if line["verdict"] == Verdict.ALLOW:
        is_known = old is not None and _says_the_same(policies, line, way, exactly=False)
    else:
        is_known = not override_kinds(new, line["host"]) and not _binding(new, line, way).hosted
    if not is_known:
        raise _UnknownError("the headers, query and body")


def _refused_behind(line: DecisionLine, policies: Policies, way: Way, said: Decision) -> Outcome:
    """A refusal for an address, an override or a secret stands where both policies say the same of those."""
    new, old = policies
    reason = line["reason_code"]
    if old is None:
        raise _UnknownError("the headers, query and body, or the address")
    is_of_address = reason in _OF_ADDRESSES or reason == Reason.METADATA_ADDRESS
    if is_of_address and _pins(old, line["host"]) != _pins(new, line["host"]):
        raise _UnknownError("the address")
    if not is_of_address and not _says_the_same(policies, line, way, exactly=True):
        raise _UnknownError("the headers, query and body")
    rule_id = said.rule_id if line["rule_id"] is not None else None
    return Outcome(Verdict.DENY.value, reason, rule_id)


def _says_the_same(policies: Policies, line: DecisionLine, way: Way, *, exactly: bool) -> bool:
    """Whether both policies judge headers, query and body of this request alike."""
    new, old = policies
    if old is None or brokered_names(old) != brokered_names(new):
        return False
    kinds = override_kinds(old, line["host"]), override_kinds(new, line["host"])
    are_kinds_alike = kinds[0] == kinds[1] if exactly else kinds[1] <= kinds[0]
    return are_kinds_alike and _binding(old, line, way) == _binding(new, line, way)


def _binding(policy: Policy, line: DecisionLine, way: Way) -> Binding:
    return binding_of(policy, _asked(line, way))


def _check_path(new: Policy, line: DecisionLine) -> None:
    """Raise _UnknownError for a path of which only the beginning is there, where a rule is about paths."""
    path = line["path"] or ""
    has_paths = any(rule.paths is not None for rule in new.allow if rule.host.matches(line["host"]))
    if len(path) >= MAX_TEXT and has_paths and line["method"] not in NEVER_CARRIED:
        raise _UnknownError("the rest of a long path")


def _pins(policy: Policy, host: str) -> tuple[object, ...]:
    return (policy.resolve.get(host), policy.allow_private)
