"""`orch policy`: check a file, explain a request. Needs no daemon.

orch policy check policies/llm-only.yaml
orch policy explain https://api.openai.com/v1/files --policy llm-only --method DELETE
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

import click

from proxy.policy.decide import decide, is_dialable
from proxy.policy.hosts import BadHostError, is_ip_literal, split_authority
from proxy.policy.model import AllowRule, Decision, Policy, ReasonCode, Request, TlsMode, Verdict
from runtime.cli.commands.daemon import settings
from runtime.cli.console.output import emit, json_option
from runtime.errors import InvalidInputError, NotFoundError
from runtime.policies.loader import PolicyError, PolicyNotFoundError, load_policy, load_policy_file
from runtime.policies.registries import LocalRegistries

NOT_YET_ENFORCED = ("agents",)
"""Sections and keys that are read and handed to the proxy, which does not enforce them in this version."""

_BUDGETS = ("requests_per_minute", "bytes_out", "bytes_in", "connections", "llm_tokens", "llm_usd")


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


@click.group("policy")
def policy() -> None:
    """Check policy files and explain what they allow."""


@policy.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def check(*, file: Path) -> None:
    """Load FILE as the daemon would, and say what it allows."""
    if not file.is_file():
        raise NotFoundError(f"there is no file {file}", hint="name a policy's YAML file")
    own = settings()
    loaded = _loading(
        lambda: load_policy_file(file, own.policy_dirs, registries=LocalRegistries(), site=own.site_policy)
    )
    data = describe(loaded)
    emit(data, lambda: _print_policy(data))


@policy.command("explain")
@click.argument("url")
@click.option("--policy", "name", required=True, help="The policy's name.")
@click.option("--method", default="GET", show_default=True, help="The request's method.")
@json_option
def explain(*, url: str, name: str, method: str) -> None:
    """Say whether a request to URL would be allowed, by which rule, or why not."""
    own = settings()
    loaded = _loading(
        lambda: load_policy(name, own.policy_dirs, registries=LocalRegistries(), site=own.site_policy)
    )
    explanation = explain_request(loaded, url, method.upper())
    decision = explanation.decision
    data = {
        "url": url,
        "method": method.upper(),
        "policy": loaded.name,
        "host": explanation.host,
        "port": explanation.port,
        "verdict": decision.verdict.value,
        "reason_code": decision.reason_code and decision.reason_code.value,
        "rule_id": decision.rule_id,
        "tls": decision.tls and decision.tls.value,
        "detail": decision.detail or explanation.note,
    }
    emit(data, lambda: _print_explanation(data))


def _loading(load: Callable[[], Policy]) -> Policy:
    try:
        return load()
    except PolicyNotFoundError as exc:
        raise NotFoundError(str(exc)) from None
    except PolicyError as exc:
        raise InvalidInputError(str(exc)) from None


def describe(loaded: Policy) -> dict[str, Any]:
    """A loaded policy for people and scripts; no certificate, no pin."""
    budgets = {name: getattr(loaded.budgets, name) for name in _BUDGETS}
    return {
        "name": loaded.name,
        "allow": [_describe_rule(rule) for rule in loaded.allow],
        "deny": [{"id": rule.id, "host": str(rule.host)} for rule in loaded.deny],
        "allow_any_public": loaded.allow_any_public,
        "agents": list(loaded.agents),
        "budgets": {
            name: format(value, "f") if isinstance(value, Decimal) else value
            for name, value in budgets.items()
            if value is not None
        },
        "not_yet_enforced": list(NOT_YET_ENFORCED),
    }


def _describe_rule(rule: AllowRule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "host": str(rule.host),
        "ports": sorted(rule.ports),
        "methods": None if rule.methods is None else sorted(rule.methods),
        "paths": None if rule.paths is None else list(rule.paths),
        "tls": rule.tls.value,
    }


def _print_policy(data: dict[str, Any]) -> None:
    click.echo(f"{data['name']}: {len(data['allow'])} allow and {len(data['deny'])} deny rules")
    for rule in data["allow"]:
        ports = ",".join(str(port) for port in rule["ports"])
        methods = ",".join(rule["methods"] or ["any method"])
        paths = " ".join(rule["paths"] or ["any path"])
        click.echo(f"  allow {rule['host']}:{ports}  {methods}  {paths}  ({rule['tls']}, {rule['id']})")
    if data["allow_any_public"]:
        click.echo("  allow any public host on https/443 and http/80")
    for rule in data["deny"]:
        click.echo(f"  deny  {rule['host']}  ({rule['id']})")


def _print_explanation(data: dict[str, Any]) -> None:
    by = f" by {data['rule_id']}" if data["rule_id"] else ""
    because = f" ({data['reason_code']})" if data["reason_code"] else ""
    click.echo(f"{data['verdict']}{by}{because}: {data['detail']}")
