"""Why a policy allows or refuses one request, and what it allows at all, as values to show."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

from proxy.contract.policy_wire import budgets_to_json, rule_to_json
from proxy.policy.decide import decide, is_dialable
from proxy.policy.hosts import BadHostError, is_ip_literal, split_authority
from proxy.policy.model import Decision, Policy, Request, TlsMode, Verdict
from proxy.policy.reasons import ReasonCode
from runtime.errors import InvalidInputError

NOT_YET_ENFORCED = ("agents",)
"""Sections and keys that are read and handed to the proxy, which does not enforce them in this version."""


class Explanation(NamedTuple):
    """What would happen to one request."""

    host: str
    port: int
    decision: Decision
    note: str


def explain_request(policy: Policy, url: str, method: str) -> Explanation:
    """Judge a URL as the proxy would, without DNS. Raises InvalidInputError for what is no http(s) URL."""
    if not url.isascii() or any(not "!" <= char <= "~" for char in url):
        raise InvalidInputError("the URL has a space, a control character or one that is not ASCII")
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that is not closed, and the like
        parts = SplitResult("", "", "", "", "")
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise InvalidInputError(
            "not an http(s) URL", hint="write it out, as in https://api.openai.com/v1/models"
        )
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    default_port = 443 if scheme == "https" else 80
    try:
        host, port = split_authority(parts.netloc, default_port=default_port)
    except BadHostError as exc:
        refusal = Decision(reason_code=ReasonCode.BAD_HOST, detail=f"not a host name: {exc}")
        return Explanation(parts.netloc, default_port, refusal, "")
    decision = decide(policy, Request(host=host, port=port, scheme=scheme))
    is_unseen = scheme == "https" and decision.tls is TlsMode.PASSTHROUGH
    if decision.verdict is Verdict.ALLOW and not is_unseen:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        decision = decide(policy, Request(host=host, port=port, scheme=scheme, method=method, path=target))
    if decision.verdict is not Verdict.ALLOW:
        return Explanation(host, port, decision, "")
    return _explain_addresses(policy, host, port, decision, is_unseen=is_unseen)


def _explain_addresses(
    policy: Policy, host: str, port: int, decision: Decision, *, is_unseen: bool
) -> Explanation:
    unseen = "the connection is passed through: method and path are not seen; " if is_unseen else ""
    known = (host,) if is_ip_literal(host) else policy.resolve.get(host, ())
    for address in known:
        dialable = is_dialable(policy, host, address)
        if dialable.verdict is not Verdict.ALLOW:
            return Explanation(host, port, dialable, "")
    where = f"dialled at {', '.join(known)}" if known else "its addresses are checked when it is dialled"
    return Explanation(host, port, decision, unseen + where)


def describe(loaded: Policy) -> dict[str, Any]:
    """A loaded policy for people and scripts: its rules as the proxy gets them, without addresses."""
    budgets = budgets_to_json(loaded.budgets)
    return {
        "name": loaded.name,
        "allow": [rule_to_json(rule) for rule in loaded.allow],
        "deny": [{"id": rule.id, "host": str(rule.host)} for rule in loaded.deny],
        "allow_any_public": loaded.allow_any_public,
        "agents": list(loaded.agents),
        "budgets": {name: value for name, value in budgets.items() if value is not None},
        "not_yet_enforced": list(NOT_YET_ENFORCED),
    }
