"""`orch runs`, `orch logs`, `orch egress`, `orch cancel`."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from runtime.cli.console.context import daemon_client
from runtime.cli.console.label_option import label_option, read_labels
from runtime.cli.console.notes import note_of
from runtime.cli.console.output import emit, emit_line, is_json, json_option, printable, write_log
from runtime.model.run import RunState

RUN_ID_CHARS = 36
"""A UUID as text."""
NARROW_COLUMNS = 80
STATE_CHARS = 15
"""Room for each state and the usual codes of errors."""
SHORT_TIME_CHARS = 11
_GAP = 2
_PLAIN: dict[str, Any] = {"box": None, "pad_edge": False, "padding": (0, _GAP, 0, 0)}
"""No lines and no margins: each column of them is one that a word does not have."""
LLM_EVENTS = ("llm_call_succeeded", "llm_call_failed", "fallback_transition", "policy_violation")


@click.command()
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--state", type=click.Choice([state.value for state in RunState]), help="Only those in it.")
@click.option("--agent", help="Only those of this agent.")
@click.option("--policy", help="Only those under this policy.")
@label_option("Only those with this label. Several are taken: a run has to have all of them.")
@click.option("--cursor", help="Go on where a list ended: its `next_cursor`, with the same filters.")
@json_option
def runs(*, limit: int, labels: tuple[str, ...], **filters: str | None) -> None:
    """List the newest runs, with their ids, states and errors."""
    wanted = {f"label.{key}": value for key, value in read_labels(labels).items()}
    with daemon_client() as client:
        page = client.list_runs(limit, **filters, **wanted)
    found, more = page["items"], page["next_cursor"]
    console = Console()
    emit({"runs": found, "next_cursor": more}, lambda: console.print(run_table(found, console.width)))
    if more and not is_json():
        click.echo(f"there are more: --cursor {more}", err=True)


def run_table(found: list[dict[str, Any]], width: int) -> Table:
    """Lay runs out for a person, so that id, agent, state and time can be read at any width.

    A run's id is never cut, since other commands take it. What does not fit goes without policy and year,
    and below 80 columns has a second line.
    """
    wide = _wide(found)
    if wide.__rich_measure__(Console(width=1000), Console(width=1000).options).maximum <= width:
        return wide
    return _narrow(found, width) if width >= NARROW_COLUMNS else _stacked(found)


def _wide(found: list[dict[str, Any]]) -> Table:
    table = Table("run", "agent", "policy", "state", "started", "error")
    for run in found:
        cells = (run["id"], run["agent_ref"], run["policy_name"], run["state"], _started(run), _error(run))
        table.add_row(*(_cell(cell) for cell in cells))
    return table


def _narrow(found: list[dict[str, Any]], width: int) -> Table:
    run_id = Column("run", no_wrap=True, min_width=RUN_ID_CHARS)
    room = width - RUN_ID_CHARS - STATE_CHARS - SHORT_TIME_CHARS - 3 * _GAP
    agent = Column("agent", no_wrap=True, overflow="ellipsis", max_width=room)
    state = Column("state", overflow="fold", min_width=STATE_CHARS)
    table = Table(run_id, agent, state, Column("started", min_width=SHORT_TIME_CHARS), **_PLAIN)
    for run in found:
        ended = "\n".join(part for part in (run["state"], _error(run)) if part)
        table.add_row(*(_cell(it) for it in (run["id"], run["agent_ref"], ended, _started(run, short=True))))
    return table


def _stacked(found: list[dict[str, Any]]) -> Table:
    table = Table(Column("run", overflow="fold"), **_PLAIN)
    for run in found:
        cells = (run["state"], _started(run, short=True), _error(run), run["agent_ref"])
        table.add_row(_cell(run["id"]))
        table.add_row(_cell("  " + "  ".join(cell for cell in cells if cell)))
    return table


def _started(run: dict[str, Any], *, short: bool = False) -> str:
    return time.strftime("%m-%d %H:%M" if short else "%Y-%m-%d %H:%M:%S", time.localtime(run["created_at"]))


def _error(run: dict[str, Any]) -> str:
    return str((run["error"] or {}).get("code", ""))


def _cell(text: object) -> Text:
    return Text(printable(str(text)))


@click.command()
@click.argument("run")
@click.option("--live", is_flag=True, help="Follow until the run ends.")
@json_option
def logs(*, run: str, live: bool) -> None:
    """Show a run's log (the end of what the agent wrote to stderr)."""
    with daemon_client() as client:
        if live:
            for event in client.events(run):
                if is_json() and event.kind in {"log", *LLM_EVENTS}:
                    emit_line({"seq": event.seq, "kind": event.kind, **event.data})
                elif event.kind == "log":
                    write_log(str(event.data["text"]), sys.stdout)
                elif note := note_of(event.kind, event.data):
                    click.echo(printable(note), err=True)
            return
        found = client.get_run(run)
    shown = {key: found[key] for key in ("id", "state", "error", "stdout", "stderr")}
    emit(shown, lambda: write_log(str(found["stderr"]), sys.stdout))


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
                    emit_line(event.data)
                elif event.kind == "omitted" and (note := note_of(event.kind, event.data)):
                    click.echo(printable(note), err=True)
            return
        decisions = client.decisions(run)
    emit({"decisions": decisions}, lambda: Console().print(decision_table(decisions)))


def decision_table(decisions: list[dict[str, Any]]) -> Table:
    """Decisions for a person. Hosts, paths and details are an agent's words, so nothing in them is markup."""
    table = Table("verdict", "reason or rule", "via", "request", "detail")
    for line in decisions:
        port = f":{line['port']}" if line.get("port") else ""
        request = f"{line.get('method') or ''} {line.get('host') or ''}{port}{line.get('path') or ''}".strip()
        why = line.get("reason_code") or line.get("rule_id") or ""
        style = "green" if line.get("verdict") == "allow" else "red"
        cells = (why, line.get("entry") or "", request, line.get("detail") or "")
        verdict = Text(printable(str(line.get("verdict"))), style=style)
        table.add_row(verdict, *(Text(printable(str(cell))) for cell in cells))
    return table


@click.command()
@click.argument("run")
@json_option
def cancel(*, run: str) -> None:
    """Cancel a run, and wait until its sandbox is removed."""
    with daemon_client() as client:
        ended = client.cancel_run(run)
    emit({"id": ended["id"], "state": ended["state"]}, lambda: click.echo(f"{ended['state']} {ended['id']}"))
