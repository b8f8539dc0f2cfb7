"""Everything a request claims about its destination must agree; then the policy decides.

Plain values in, a Decision out: the mitmproxy hooks gather the values, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from proxy.destination.overrides import Override, find_overrides
from proxy.destination.query import shown_name
from proxy.policy.decide import decide
from proxy.policy.hosts import BadHostError, is_ip_literal, normalize_host, split_authority
from proxy.policy.model import Decision, Policy, Request, Verdict
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import deny

_DEFAULT_PORT = {"http": 80, "https": 443}


class Judged(NamedTuple):
    """A destination and its decision; `host` is normalised, or a printable form of what was sent."""

    host: str
    port: int
    decision: Decision


def as_sent(host: str) -> str:
    """A host name in its ASCII form: mitmproxy 12.2 shows `xn--...` (RFC 5890) as Unicode.

    No other name comes in Unicode: a head that is not ASCII is refused before (`proxy.destination.heads`),
    and a Host header that is not the ASCII form still disagrees with what this gives.
    """
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def judge_destination(policy: Policy, raw_host: str | bytes, port: int) -> Judged:
    """Decide whether anything at all may be asked of this host and port (CONNECT, server name)."""
    try:
        host = normalize_host(raw_host)
    except BadHostError as exc:
        text = raw_host.decode("latin-1") if isinstance(raw_host, bytes) else raw_host
        return Judged(text.encode("ascii", "backslashreplace").decode(), port, _bad_host(exc))
    scheme: Literal["http", "https"] = "http" if port == 80 else "https"
    return Judged(host, port, decide(policy, Request(host=host, port=port, scheme=scheme)))


def judge_connect(policy: Policy, raw_host: str | bytes, port: int, host_headers: list[str]) -> Judged:
    """As `judge_destination`; a Host header may leave the port out, but names no other destination."""
    judged = judge_destination(policy, raw_host, port)
    if judged.decision.reason_code is ReasonCode.BAD_HOST:
        return judged
    for named in host_headers:
        try:
            is_same = split_authority(named, default_port=port) == (judged.host, port)
        except BadHostError:
            is_same = False
        if not is_same:
            detail = f"the Host header does not name {judged.host}:{port}"
            return judged._replace(decision=deny(ReasonCode.HOST_MISMATCH, detail))
    return judged


def judge_server_name(policy: Policy, sni: str | None, tunnel: tuple[str, int] | None) -> Judged:
    """The ClientHello's server name: it must be there, be a name, and equal the CONNECT authority."""
    host, port = tunnel or ("", 443)
    if not sni:
        if tunnel and is_ip_literal(host):  # RFC 6066 forbids a literal as server name
            return judge_destination(policy, host, port)
        return Judged(host, port, deny(ReasonCode.NO_SNI, "the TLS ClientHello names no server"))
    try:
        name = normalize_host(sni)
    except BadHostError as exc:
        return Judged(host, port, _bad_host(exc))
    if is_ip_literal(name):
        return Judged(name, port, deny(ReasonCode.IP_LITERAL, "the TLS server name is an address"))
    if tunnel and name != host:
        return Judged(
            host,
            port,
            deny(ReasonCode.SNI_MISMATCH, f"the tunnel leads to {host}, the ClientHello names {name}"),
        )
    return judge_destination(policy, name, port)


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """One request as it was parsed, with every place in which it names a destination."""

    method: str
    scheme: str
    host: str
    port: int
    target: str
    """Path and query."""
    host_headers: tuple[str, ...]
    authority: str
    """`:authority` of HTTP/2, or the authority of an absolute-form target."""
    is_http2: bool
    sni: str | None
    tunnel: tuple[str, int] | None
    headers: tuple[tuple[str, str], ...] = ()
    """Those that go upstream."""


def judge_request(policy: Policy, facts: RequestFacts) -> Judged:
    """The decision on one request. Any disagreement about the destination refuses it."""
    try:
        host = normalize_host(facts.host)
    except BadHostError as exc:
        return Judged(facts.host.encode("ascii", "backslashreplace").decode(), facts.port, _bad_host(exc))
    refusal = _disagreement(host, facts) or _unsupported(facts)
    if refusal is not None:
        return Judged(host, facts.port, refusal)
    scheme: Literal["http", "https"] = "https" if facts.scheme == "https" else "http"
    request = Request(host=host, port=facts.port, scheme=scheme, method=facts.method, path=facts.target)
    decision = decide(policy, request)
    if decision.verdict is Verdict.ALLOW:
        decision = _override_refusal(policy, request, facts, decision) or decision
    return Judged(host, facts.port, decision)


def _override_refusal(
    policy: Policy, request: Request, facts: RequestFacts, allowed: Decision
) -> Decision | None:
    """Where rules are about methods, paths or a credential, the upstream must not read others than we did."""
    for what, name in counted_overrides(policy, request.host, facts.target, facts.headers):
        is_pinned = any(rule.pin_credential for rule in policy.allow if rule.host.matches(request.host))
        detail = f"{shown_name(name)} could give {request.host} another {what} than the one that was judged"
        return deny(_REPLACES[what] if not is_pinned else _REPLACES_PINNED[what], detail, allowed.rule_id)
    return None


def override_kinds(policy: Policy, host: str) -> frozenset[str]:
    """What may not be replaced in a request to this host, since a rule for the host is about it."""
    rules = [rule for rule in policy.allow if rule.host.matches(host)]
    if any(rule.paths is not None for rule in rules):
        return frozenset({"method", "headers", "path"})
    is_about_requests = any(rule.pin_credential or rule.methods is not None for rule in rules)
    return frozenset({"method", "headers"}) if is_about_requests else frozenset()


def counted_overrides(
    policy: Policy, host: str, target: str, headers: Iterable[tuple[str, str]]
) -> Iterator[Override]:
    """Each header and parameter that is refused at this host for what it could replace."""
    kinds = override_kinds(policy, host)
    return (found for found in find_overrides(target, headers) if found.what in kinds) if kinds else iter(())


_REPLACES = {"method": ReasonCode.METHOD, "path": ReasonCode.PATH, "headers": ReasonCode.METHOD}
_REPLACES_PINNED = {**_REPLACES, "headers": ReasonCode.FOREIGN_CREDENTIAL}


def _disagreement(host: str, facts: RequestFacts) -> Decision | None:
    if facts.tunnel and facts.tunnel != (host, facts.port):
        return deny(ReasonCode.HOST_MISMATCH, f"this connection leads to {facts.tunnel[0]}, not to {host}")
    if facts.sni and not _is_same_name(facts.sni, host):
        return deny(ReasonCode.SNI_MISMATCH, f"the TLS server name is not {host}")
    if len(facts.host_headers) > 1 or not (facts.host_headers or (facts.is_http2 and facts.authority)):
        return deny(ReasonCode.BAD_REQUEST, "a request carries exactly one Host header")
    for named in (*facts.host_headers, *([facts.authority] if facts.authority else [])):
        if not _is_same_authority(named, host, facts.port, facts.scheme):
            return deny(ReasonCode.HOST_MISMATCH, f"the Host header does not name {host}:{facts.port}")
    return None


def _unsupported(facts: RequestFacts) -> Decision | None:
    if facts.scheme not in _DEFAULT_PORT:
        return deny(ReasonCode.BAD_REQUEST, "only http and https are carried")
    if facts.method in {"TRACE", "CONNECT"}:
        return deny(ReasonCode.METHOD, f"{facts.method} is never carried here")
    if not facts.target.startswith("/") and not (facts.target == "*" and facts.method == "OPTIONS"):
        return deny(ReasonCode.BAD_REQUEST, "the request target is not in origin form")
    return None


def _is_same_name(named: str, host: str) -> bool:
    try:
        return normalize_host(named) == host
    except BadHostError:
        return False


def _is_same_authority(named: str, host: str, port: int, scheme: str) -> bool:
    try:
        return split_authority(named, default_port=_DEFAULT_PORT.get(scheme, 0)) == (host, port)
    except BadHostError:
        return False


def _bad_host(exc: BadHostError) -> Decision:
    return deny(ReasonCode.BAD_HOST, f"not a host name: {exc}")
