"""Cases made from the attacked policy itself: each host it names works, and gives nothing beyond itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from proxy.policy.hosts import is_ip_literal
from proxy.policy.model import AllowRule, Policy
from runtime.probe.corpus.build import FIX_AGREE, FIX_POLICY, connect, refused, steps, tunnelled, works
from runtime.probe.corpus.case import Case, Refused, Unresolved

MAX_HOSTS = 8
_OTHER_PORT = 22


def pinned_rules(policy: Policy) -> tuple[AllowRule, ...]:
    """One rule for each exact name on port 443: these names are led to the probe's upstream."""
    found: dict[str, AllowRule] = {}
    for rule in policy.allow:
        if not rule.host.is_wildcard and not is_ip_literal(rule.host.suffix) and 443 in rule.ports:
            found.setdefault(rule.host.suffix, rule)
    return tuple(found.values())[:MAX_HOSTS]


def policy_cases(policy: Policy) -> tuple[Case, ...]:
    """The cases of one policy."""
    made: list[Case] = []
    for number, rule in enumerate(pinned_rules(policy), 1):
        host, row = rule.host.suffix, f"POL-{number}"
        is_open = rule.paths is None and (rule.methods is None or "GET" in rule.methods)
        if is_open and rule.credential is None:
            made.append(
                _in(works(f"{row}a", f"{host} works", "fetch", {"url": f"https://{host}/echo/{{m}}"}))
            )
        ports = {port for other in policy.allow if other.host.matches(host) for port in other.ports}
        if _OTHER_PORT not in ports:
            made.append(
                _in(connect(f"{row}b", f"{host} on port 22", f"{host}:22", refused("port"), fix=FIX_POLICY))
            )
        taken: list[list[Any]] = [["connect", f"{host}:443", "{auth}"], ["tls", {"sni": "{m}.evil.test"}]]
        made.append(
            steps(
                f"{row}c",
                f"another server name to {host}",
                taken,
                refused("sni_mismatch", silent=True),
                group="policy",
                fix=FIX_AGREE,
            )
        )
        if rule.paths is not None and "/*" not in rule.paths:
            text = f"GET /{{m}}-unlisted HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            asked = tunnelled(
                f"{row}d",
                f"a path of {host} that no rule names",
                text,
                refused("path", "method"),
                host=host,
                sni=host,
            )
            made.append(_in(asked))
    return tuple(made)


def under(policy: Policy, case: Case) -> Case | None:
    """The case as this policy makes it; None where there is nothing left to refuse.

    Where any public host is allowed, the corpus's unlisted names are listed: they may be asked for and
    resolved, and what refuses them is their address, which is not public.
    """
    if not policy.allow_any_public:
        return case
    if isinstance(case.expect, Unresolved) and ".evil.test" in str(case.args.get("name")):
        return None
    if isinstance(case.expect, Refused) and "not_allowed_host" in case.expect.reasons:
        reasons = case.expect.reasons | {"private_address", "dns_failure", "port"}
        return replace(case, expect=replace(case.expect, reasons=reasons))
    return case


def _in(case: Case) -> Case:
    return Case(case.id, "policy", case.title, case.action, case.args, case.expect, case.fix)
