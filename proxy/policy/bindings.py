"""What a policy says about secrets in one request: which may be swapped in, what else may be there. Pure.

binding_of(policy, Request("api.openai.com", 443, "https", "POST", "/v1/responses")).credentials
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.policy.model import AllowRule, Policy, Request, TlsMode
from proxy.policy.passes import Passes, join
from proxy.policy.paths import is_allowed_path


@dataclass(frozen=True, slots=True)
class Binding:
    """The policy's word on the secrets of one allowed request."""

    credentials: frozenset[str]
    """May be swapped in: a rule binds them, and host, port, scheme, method and path fit that rule."""
    pinned: frozenset[str]
    """Bound to this host with `pin_credential`: no other credential may be there, on any port or path."""
    hosted: frozenset[str]
    """Bound to this host by any rule: it may know their values, so its answers are scrubbed."""
    headers: frozenset[str]
    """Headers beside the usual ones in which a credential may stand."""
    secrets: frozenset[str]
    """Of the sandbox's own environment: may be sent here as they are."""
    passes: Passes | None = None
    """What else may be sent where the host lists it; None where a name is judged by its words."""


def binding_of(policy: Policy, request: Request) -> Binding:
    """What the rules for this request's host say; method and path have to be known."""
    rules = [rule for rule in policy.allow if rule.host.matches(request.host)]
    fitting = [rule for rule in rules if _fits(rule, request)]
    bound = [rule for rule in rules if rule.credential is not None]
    lists = [rule.passes for rule in bound if rule.pin_credential and rule.passes is not None]
    return Binding(
        credentials=frozenset(r.credential for r in fitting if r.credential and _is_confidential(r, request)),
        pinned=frozenset(r.credential for r in bound if r.credential and r.pin_credential),
        hosted=frozenset(r.credential for r in bound if r.credential),
        headers=frozenset(name for rule in bound for name in rule.credential_headers),
        secrets=frozenset(name for rule in fitting for name in rule.secrets),
        passes=join(lists),
    )


def brokered_names(policy: Policy) -> frozenset[str]:
    """The secrets that some rule binds to a host: a sandbox gets placeholders for them."""
    return frozenset(rule.credential for rule in policy.allow if rule.credential is not None)


def _fits(rule: AllowRule, request: Request) -> bool:
    if request.port not in rule.ports or request.path is None:
        return False
    if rule.methods is not None and request.method not in rule.methods:
        return False
    return rule.paths is None or is_allowed_path(rule.paths, request.path.partition("?")[0])


def _is_confidential(rule: AllowRule, request: Request) -> bool:
    return request.scheme == "https" and rule.tls is TlsMode.INSPECT
