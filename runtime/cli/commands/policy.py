"""`orch policy`: check a file, explain a request. Neither needs a daemon.

orch policy check policies/llm-only.yaml
orch policy explain https://api.openai.com/v1/files --policy llm-only --method DELETE
"""

from __future__ import annotations

import asyncio
import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from runtime.cli.commands.replay import make_replay_command
from runtime.cli.console.context import read_settings
from runtime.cli.console.explanation import print_explanation
from runtime.cli.console.output import emit, json_option
from runtime.daemon.settings import Settings
from runtime.errors import InvalidInputError, NotFoundError
from runtime.explain.addresses import HostLookup, no_lookup
from runtime.explain.document import explain as make_explanation
from runtime.explain.sandbox import Question
from runtime.plain_file import open_plain
from runtime.policies.describe import describe
from runtime.policies.loader import PolicyError, PolicyNotFoundError, load_placed, load_policy_file
from runtime.policies.places import LoadedPolicy
from runtime.policies.registries import LocalRegistries

WIDTH = 100
"""Columns that lines are wrapped for where there is no terminal."""
MAX_BODY_BYTES = 16 << 20


@click.group("policy")
def policy() -> None:
    """Check policies, explain a request, replay what was decided."""


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
@click.option("--policy", "name", required=True, help="The policy's name, or its YAML file.")
@click.option("--method", "-X", default="GET", show_default=True, help="The request's method.")
@click.option(
    "--header", "-H", "headers", multiple=True, metavar="'NAME: VALUE'", help="Any number of times."
)
@click.option("--body", type=click.Path(path_type=Path), help="A file with the request's body.")
@click.option("--secret", "secrets", multiple=True, metavar="NAME", help="A secret that the sandbox holds.")
@click.option("--llm", is_flag=True, help="The agent's manifest asks for the LLM router.")
@click.option("--resolve/--no-resolve", default=True, show_default=True, help="Look the host's name up.")
@json_option
def explain(*, url: str, name: str, method: str, resolve: bool, **more: Any) -> None:
    """Say what the proxy would do with a request to URL, by which rule, and what the agent would see.

    ${NAME} in URL, headers or body stands for what the sandbox holds of the secret NAME, so quote it:
    -H 'Authorization: Bearer ${OPENAI_API_KEY}'.
    """
    own = read_settings()
    loaded = load_for_command(name, own)
    question = Question(
        url=url,
        method=method.upper(),
        headers=tuple(_header(text) for text in more["headers"]),
        body=_body(more["body"]),
        secrets=tuple(more["secrets"]),
        has_llm=more["llm"],
    )
    lookup = HostLookup(own.proxy_dns) if resolve else no_lookup
    data = asyncio.run(make_explanation(loaded, question, lookup=lookup, is_for_operator=True))
    emit(data, lambda: print_explanation(data))


def load_for_command(name: str, own: Settings) -> LoadedPolicy:
    """Load what `--policy` names: a policy of the search path, or a file. Raises as the commands fail."""
    named = Path(name) if name.endswith((".yaml", ".yml")) else name
    if isinstance(named, Path) and not named.is_file():
        raise NotFoundError(f"there is no file {named}", hint="name a policy, or its YAML file")
    return _loading(
        lambda: load_placed(named, own.policy_dirs, registries=LocalRegistries(), site=own.site_policy)
    )


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise InvalidInputError("--header: there is no colon in it", hint="-H 'Accept: application/json'")
    return name, value


def _body(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        with open_plain(path) as file:
            content = file.read(MAX_BODY_BYTES + 1)
    except OSError as exc:
        raise InvalidInputError(f"--body: {path}: {exc.strerror}", hint="name a file") from None
    if len(content) > MAX_BODY_BYTES:
        raise InvalidInputError(f"--body: {path}: more than 16 MiB", hint="give less of it")
    return content


policy.add_command(make_replay_command(load_for_command))


def _loading[L](load: Callable[[], L]) -> L:
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
