"""`orch secrets`: values go in and never come out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxy.contract.secret_rules import MAX_SECRET_BYTES
from runtime.cli.console.context import daemon_client, read_settings
from runtime.cli.console.notes import is_talkative, too_short_note
from runtime.cli.console.output import emit, json_option, local_time, printable
from runtime.client.secrets import OWN_WORKSPACE, SecretsClient
from runtime.errors import InvalidInputError
from runtime.keys.redactor import too_short
from runtime.model.secret import Secret
from runtime.vault.entry import check_name, check_value
from runtime.vault.source import EnvKey


def _workspace_option[F: Callable[..., Any]](command: F) -> F:
    help_text = "Its name or id.  [default: the caller's, or default]"
    option = click.option("--workspace", default=OWN_WORKSPACE, help=help_text)
    return option(command)


@click.group()
def secrets() -> None:
    """Secrets of a workspace: given to runs that declare them, shown to nobody."""


@secrets.command("set", context_settings={"ignore_unknown_options": True})  # a value may begin with -
@click.argument("name")
@click.argument("value", nargs=-1, type=click.UNPROCESSED)
@click.option("--description", help='What it is for; encrypted too. "" removes it.')
@_workspace_option
@json_option
def set_(*, name: str, value: tuple[str, ...], description: str | None, workspace: str) -> None:
    """Set a secret: NAME is A-Z, 0-9 and _, as in MY_API_KEY.

    Other users of this host can see VALUE while the command runs, and the shell keeps it in its history.
    Without VALUE it is read from stdin, or asked for.
    """
    check_name(name)
    checked = read_value(value)
    with daemon_client() as client:
        made = SecretsClient(client, workspace).set(name, checked, description)
    emit(made, lambda: click.echo(f"set {made['name']}"))
    if too_short({name: checked}) and is_talkative():
        click.echo(too_short_note([name]), err=True)


@secrets.command("list")
@_workspace_option
@json_option
def list_(*, workspace: str) -> None:
    """List names, types and descriptions; values cannot be shown."""
    with daemon_client() as client:
        found = SecretsClient(client, workspace).entries()
    emit({"secrets": found}, lambda: Console().print(_secret_table(found)))


@secrets.command()
@click.argument("name")
@_workspace_option
@json_option
def delete(*, name: str, workspace: str) -> None:
    """Delete a secret, by name or id."""
    with daemon_client() as client:
        gone = SecretsClient(client, workspace).delete(name)
    emit(gone, lambda: click.echo(f"deleted {gone['name']}"))


@secrets.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@_workspace_option
@json_option
def audit(*, limit: int, workspace: str) -> None:
    """Show who set, read and deleted what, and for which run."""
    with daemon_client() as client:
        lines = SecretsClient(client, workspace).audit(limit)
    emit({"audit": lines}, lambda: Console().print(_audit_table(lines)))


@secrets.command()
@json_option
def rotate() -> None:
    """Encrypt every workspace's secrets anew, under a new key.

    A key file gets the new key and keeps the old ones: back it up again. A key in an environment variable
    or a KMS is its owner's to change; rotate after that.
    """
    with daemon_client() as client:
        done = client.call("POST", "/v1/vault/rotate")
    emit(done, lambda: click.echo(f"encrypted {done['rotated']} secrets anew"))


@secrets.command("new-key")
def new_key() -> None:
    """Print a key for ORCHBOX_VAULT_KEY=env:NAME; needs no daemon.

    Where that variable already has a key, the printed one holds it too, behind a new one: put it in the
    variable's place, restart the daemon, then `orch secrets rotate`.
    """
    from runtime.vault.keyset import Keyset  # noqa: PLC0415 - Tink costs what other commands need not pay

    source = read_settings().vault_keys[0]
    value = source.value if isinstance(source, EnvKey) else None
    keys = Keyset.from_json(value.reveal()).with_new_primary() if value else Keyset.new()
    click.echo("".join(line.strip() for line in keys.to_json().splitlines()))


def _secret_table(found: list[dict[str, Any]]) -> Table:
    table = Table("name", "type", "description", "updated")
    for secret in found:
        provider = f" ({secret['provider']})" if secret["provider"] else ""
        cells = (
            secret["name"],
            secret["secret_type"] + provider,
            secret["description"] or "",
            local_time(secret["updated_at"]),
        )
        table.add_row(*(Text(printable(str(cell))) for cell in cells))
    return table


def _audit_table(lines: list[dict[str, Any]]) -> Table:
    table = Table("when", "who", "action", "name", "run")
    for line in lines:
        cells = (
            local_time(line["at"]),
            line["who"],
            line["action"],
            line["name"] or "",
            line["run_id"] or "",
        )
        table.add_row(*(Text(printable(str(cell))) for cell in cells))
    return table


def read_value(given: tuple[str, ...]) -> Secret:
    """The value, checked. Raises InvalidInputError, which never repeats it."""
    if len(given) > 1:  # click's own message would print the arguments
        raise InvalidInputError("VALUE: more than one", hint="quote it, or give it on stdin")
    value = Secret(given[0] if given else _typed() if sys.stdin.isatty() else _piped())
    check_value(value)
    return value


def _typed() -> str:
    return str(click.prompt("value", hide_input=True, err=True, default="", show_default=False))


def _piped() -> str:
    """All of stdin, without the newline that `echo` or a here-document puts behind it."""
    content = sys.stdin.buffer.read(MAX_SECRET_BYTES + 3)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise InvalidInputError("value: not UTF-8 text", hint="encode it, for example as base64") from None
    return text.removesuffix("\n").removesuffix("\r")
