"""The decision: a policy and a request in, a Decision out. No state, no clock, no I/O."""

from __future__ import annotations

import ipaddress

from proxy.policy.addresses import AddressClass, classify
from proxy.policy.hosts import is_ip_literal
from proxy.policy.model import NEVER_CARRIED, AllowRule, Decision, Policy, Request, TlsMode, Verdict
from proxy.policy.paths import is_allowed_path
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import deny


def decide(policy: Policy, request: Request) -> Decision:
    """May this be asked? Deny rules win, then every condition of one allow rule has to hold.

    Without method and path the question is whether anything may be asked of host and port; `tls` is then
    INSPECT as soon as one rule that could apply needs to see the request. A host that a rule names is judged
    by its rules only: `allow_any_public` opens nothing more of it.
    """
    if request.method in NEVER_CARRIED:
        return deny(ReasonCode.METHOD, f"{request.method} is never carried here")
    for rule in policy.deny:
        if rule.host.matches(request.host):
            return deny(ReasonCode.DENIED_RULE, f"{request.host} is denied by a rule", rule.id)
    if is_ip_literal(request.host) and classify(request.host) is AddressClass.METADATA:
        return deny(ReasonCode.METADATA_ADDRESS, "cloud metadata is never reachable")
    rules = [rule for rule in policy.allow if rule.host.matches(request.host)]
    if not rules:
        return _decide_unlisted(policy, request)
    rules = [rule for rule in rules if request.port in rule.ports]
    if not rules:
        return deny(ReasonCode.PORT, f"port {request.port} of {request.host} is not allowed")
    if request.scheme == "http" and request.port == 443:
        return deny(ReasonCode.PORT, "clear-text HTTP is not allowed on port 443")
    return _decide_listed(policy, rules, request)


def _decide_listed(policy: Policy, rules: list[AllowRule], request: Request) -> Decision:
    if request.method is None or request.path is None:
        inspect = [rule for rule in rules if _tls_of(policy, rule) is TlsMode.INSPECT]
        return _allow(policy, inspect[0] if inspect else rules[0])
    method, path = request.method, request.path.partition("?")[0]
    by_method = [rule for rule in rules if rule.methods is None or method in rule.methods]
    if not by_method:
        return deny(ReasonCode.METHOD, f"{method} is not allowed on {request.host}", rules[0].id)
    for rule in by_method:
        if rule.paths is None or is_allowed_path(rule.paths, path):
            return _allow(policy, rule)
    return deny(ReasonCode.PATH, f"this path is not allowed on {request.host}", by_method[0].id)


def _decide_unlisted(policy: Policy, request: Request) -> Decision:
    if is_ip_literal(request.host):
        return deny(ReasonCode.IP_LITERAL, "an address is allowed only where the policy lists it")
    if not policy.allow_any_public:
        return deny(ReasonCode.NOT_ALLOWED_HOST, f"{request.host} is not in policy {policy.name}")
    if (request.scheme, request.port) not in {("https", 443), ("http", 80)}:
        return deny(ReasonCode.PORT, f"port {request.port} is not allowed on hosts that no rule names")
    tls = TlsMode.INSPECT if policy.has_tripwire else TlsMode.PASSTHROUGH
    return Decision(verdict=Verdict.ALLOW, rule_id=f"{policy.name}.allow_any_public", tls=tls)


def is_dialable(policy: Policy, host: str, address: str) -> Decision:
    """May this address, an answer for `host`, be dialled? Private ones only as the operator listed them."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return deny(ReasonCode.DNS_FAILURE, f"{host} resolves to something that is no address")
    kind = classify(parsed)
    if kind is AddressClass.METADATA:
        return deny(ReasonCode.METADATA_ADDRESS, f"{host} resolves to a cloud metadata address")
    if kind is not AddressClass.PUBLIC and not any(parsed in network for network in policy.allow_private):
        return deny(ReasonCode.PRIVATE_ADDRESS, f"{host} resolves to an address that is not public")
    return Decision(verdict=Verdict.ALLOW)


def _allow(policy: Policy, rule: AllowRule) -> Decision:
    return Decision(verdict=Verdict.ALLOW, rule_id=rule.id, tls=_tls_of(policy, rule))


def _tls_of(policy: Policy, rule: AllowRule) -> TlsMode:
    return TlsMode.INSPECT if policy.has_tripwire and not rule.is_tls_chosen else rule.tls
