"""`orch token`: who may call the API over TCP, and what they may do there."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from runtime.cli.console.context import daemon_client
from runtime.cli.console.output import emit, json_option, local_time, printable
from runtime.errors import InvalidInputError

ROLES = ("operator", "orchestrator", "tester", "viewer")
ID_CHARS, ROLE_CHARS = 16, 12
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TIME = re.compile(r"([0-9]{1,9})([smhd])")


class Time(click.ParamType[float]):
    """A length of time: `90s`, `30m`, `12h`, `30d`; in seconds."""

    name = "TIME"

    def convert(self, value: Any, _param: click.Parameter | None, _context: click.Context | None) -> float:
        """Read it. Raises InvalidInputError."""
        if isinstance(value, int | float):
            return float(value)
        found = _TIME.fullmatch(value)
        if found is None:
            raise InvalidInputError(f"{value!r} is no length of time", hint="as in 90s, 30m, 12h or 30d")
        return float(int(found[1]) * _SECONDS[found[2]])


@click.group()
def token() -> None:
    """Tokens: who may call the API over TCP, and what they may do there."""


@token.command()
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the caller may do.")
@click.option("--name", help="Whose it is, or what for.  [default: the role]")
@click.option("--workspace", help="The only one that the caller sees, by name or id.  [default: all]")
@click.option("--expires", type=Time(), help="How long it is valid, as in 30d.  [default: until revoked]")
@json_option
def create(*, role: str, name: str | None, workspace: str | None, expires: float | None) -> None:
    """Make a token, and print it: this once, since only a hash of it is kept."""
    asked = {"name": name or role, "role": role, "workspace": workspace, "expires_in_s": expires}
    with daemon_client() as client:
        made = client.call("POST", "/v1/tokens", json=asked)
    emit(made, lambda: _print_text(made))


@token.command("list")
@json_option
def list_() -> None:
    """List tokens: names, roles and times, never a token itself."""
    with daemon_client() as client:
        found = client.call("GET", "/v1/tokens")
    emit(found, lambda: Console().print(_table(found["tokens"])))


@token.command()
@click.argument("token_id", metavar="ID")
@click.option(
    "--grace", type=Time(), default="0s", show_default=True, help="How long the old one is taken, too."
)
@json_option
def rotate(*, token_id: str, grace: float) -> None:
    """Replace a token by another with the same id and role, and print it."""
    with daemon_client() as client:
        made = client.call("POST", f"{_path(token_id)}/rotate", json={"grace_s": grace})
    emit(made, lambda: _print_text(made))


@token.command()
@click.argument("token_id", metavar="ID")
@json_option
def revoke(*, token_id: str) -> None:
    """Refuse a token from now on."""
    with daemon_client() as client:
        gone = client.call("DELETE", _path(token_id))
    emit(gone, lambda: click.echo(f"revoked {gone['id']}"))


def _path(token_id: str) -> str:
    return f"/v1/tokens/{quote(token_id, safe='') or '-'}"


def _print_text(made: dict[str, Any]) -> None:
    """The token alone on stdout, so that it can be caught there; the rest for who looks."""
    click.echo(f"{made['role']} token {made['id']}; it is not shown again:", err=True)
    click.echo(made["token"])


def _table(found: list[dict[str, Any]]) -> Table:
    """Wraps where it must, but for the ids: they are what the other commands take."""
    ids = Column("id", no_wrap=True, min_width=ID_CHARS)
    rest = (Column(name, overflow="fold") for name in ("name", "workspace", "last used", "until"))
    role = Column("role", min_width=ROLE_CHARS)
    table = Table(ids, role, *rest, box=None, padding=(0, 2, 0, 0))
    for each in found:
        used = "never" if each["used_at"] is None else local_time(each["used_at"])
        cells = (each["id"], each["role"], each["name"], each["workspace"] or "all", used, _until(each))
        table.add_row(*(Text(printable(str(cell))) for cell in cells))
    return table


def _until(shown: dict[str, Any]) -> str:
    if shown["revoked_at"] is not None:
        return "revoked"
    return "-" if shown["expires_at"] is None else local_time(shown["expires_at"])
