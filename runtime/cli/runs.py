"""`orch runs`, `orch logs`, `orch egress`, `orch cancel`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from runtime.cli.daemon import settings
from runtime.cli.output import emit, is_json, json_option
from runtime.client import Client


@contextmanager
def daemon_client() -> Iterator[Client]:
    """A client to this environment's daemon."""
    client = Client(settings().api_socket)
    try:
        yield client
    finally:
        client.close()


@click.command()
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@json_option
def runs(*, limit: int) -> None:
    """List the newest runs."""
    with daemon_client() as client:
        found = client.list_runs(limit)

    def show() -> None:
        table = Table("run", "agent", "policy", "state", "started", "error")
        for run in found:
            started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run["created_at"]))
            error = (run["error"] or {}).get("code", "")
            table.add_row(run["id"], run["agent_ref"], run["policy_name"], run["state"], started, error)
        Console().print(table)

    emit({"runs": found}, show)


@click.command()
@click.argument("run")
@click.option("--live", is_flag=True, help="Follow until the run ends.")
@json_option
def logs(*, run: str, live: bool) -> None:
    """Show a run's log (the end of what the agent wrote to stderr)."""
    with daemon_client() as client:
        if live:
            for event in client.events(run):
                if event.kind == "log":
                    sys.stdout.write(str(event.data["text"]))
                    sys.stdout.flush()
            return
        found = client.get_run(run)
    shown = {key: found[key] for key in ("id", "state", "error", "stdout", "stderr")}
    emit(shown, lambda: click.echo(found["stderr"], nl=False))


@click.command()
@click.argument("run")
@click.option("--live", is_flag=True, help="Follow until the run ends, one JSON line each.")
@json_option
def egress(*, run: str, live: bool) -> None:
    """Show what the proxy decided for a run."""
    with daemon_client() as client:
        if live:
            for event in client.events(run):
                if event.kind == "decision":
                    click.echo(json.dumps(event.data))
            return
        decisions = client.decisions(run)
    if is_json():
        click.echo(json.dumps({"decisions": decisions}, indent=2))
    else:
        Console().print(decision_table(decisions))


def decision_table(decisions: list[dict[str, Any]]) -> Table:
    """Decisions for a person."""
    table = Table("verdict", "reason or rule", "via", "request", "detail")
    for line in decisions:
        port = f":{line['port']}" if line["port"] else ""
        request = f"{line['method'] or ''} {line['host']}{port}{line['path'] or ''}".strip()
        why = line["reason_code"] or line["rule_id"] or ""
        style = "green" if line["verdict"] == "allow" else "red"
        table.add_row(f"[{style}]{line['verdict']}[/]", why, line["entry"], request, line["detail"])
    return table


@click.command()
@click.argument("run")
@json_option
def cancel(*, run: str) -> None:
    """End a run."""
    with daemon_client() as client:
        ended = client.cancel_run(run)
    emit({"id": ended["id"], "state": ended["state"]}, lambda: click.echo(f"{ended['state']} {ended['id']}"))
