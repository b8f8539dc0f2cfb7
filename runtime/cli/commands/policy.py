"""`orch policy`: check a file, explain a request. Needs no daemon.

orch policy check policies/llm-only.yaml
orch policy explain https://api.openai.com/v1/files --policy llm-only --method DELETE
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from proxy.policy.model import Policy
from runtime.cli.console.context import read_settings
from runtime.cli.console.output import emit, json_option
from runtime.errors import InvalidInputError, NotFoundError
from runtime.policies.explain import describe, explain_request
from runtime.policies.loader import PolicyError, PolicyNotFoundError, load_policy, load_policy_file
from runtime.policies.registries import LocalRegistries

WIDTH = 100
"""Columns that lines are wrapped for where there is no terminal."""


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
    own = read_settings()
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
    own = read_settings()
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


def _print_policy(data: dict[str, Any]) -> None:
    width = shutil.get_terminal_size((WIDTH, 24)).columns
    click.echo(f"{data['name']}: {len(data['allow'])} allow and {len(data['deny'])} deny rules")
    for rule in data["allow"]:
        ports = ",".join(str(port) for port in rule["ports"])
        methods = ",".join(rule["methods"] or ["any method"])
        paths = " ".join(rule["paths"] or ["any path"])
        head = f"  allow {rule['host']}:{ports}  {methods}  {paths}  ({rule['tls']}, {rule['id']})"
        click.echo(textwrap.fill(head, width, subsequent_indent=" " * 8, break_on_hyphens=False))
        for line in _keys_of(rule):
            click.echo(textwrap.fill(line, width, initial_indent=" " * 8, subsequent_indent=" " * 10))
    if data["allow_any_public"]:
        click.echo("  allow any public host on https/443 and http/80")
    for rule in data["deny"]:
        click.echo(f"  deny  {rule['host']}  ({rule['id']})")


def _keys_of(rule: dict[str, Any]) -> Iterator[str]:
    """What of a run's secrets may go to this host, in sentences."""
    if rule["credential"]:
        pinned = ", and no other credential (pinned)" if rule["pin_credential"] else ""
        yield f"key {rule['credential']} is put in here{pinned}"
    if rule["credential_headers"]:
        yield f"also in these headers: {', '.join(rule['credential_headers'])}"
    if rule["passes"] is not None:
        count = sum(len(names) for names in rule["passes"].values())
        yield f"beside it pass only what every HTTP client sends, and {count} listed names"
    if rule["secrets"]:
        yield f"may be sent as they are: {', '.join(rule['secrets'])}"


def _print_explanation(data: dict[str, Any]) -> None:
    by = f" by {data['rule_id']}" if data["rule_id"] else ""
    because = f" ({data['reason_code']})" if data["reason_code"] else ""
    click.echo(f"{data['verdict']}{by}{because}: {data['detail']}")
