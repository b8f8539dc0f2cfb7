"""`orch workspaces list` and `create`."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.cli.console.context import daemon_client
from runtime.cli.console.output import emit, json_option, local_time, printable


@click.group()
def workspaces() -> None:
    """Workspaces: each has secrets of its own."""


@workspaces.command("list")
@json_option
def list_() -> None:
    """List the workspaces of this daemon."""
    with daemon_client() as client:
        found = client.call("GET", "/v1/workspaces")
    emit(found, lambda: Console().print(_table(found["workspaces"])))


@workspaces.command()
@click.argument("name")
@json_option
def create(*, name: str) -> None:
    """Make one: 1 to 63 of a-z, 0-9 and -."""
    with daemon_client() as client:
        made = client.create("/v1/workspaces", json={"name": name})
    emit(made, lambda: click.echo(f"created {made['name']}"))


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table("name", "id", "created")
    for workspace in found:
        cells = (workspace["name"], workspace["id"], local_time(workspace["created_at"]))
        table.add_row(*(Text(printable(str(cell))) for cell in cells))
    return table
