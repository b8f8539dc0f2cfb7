"""`orch policy replay`: what another policy would have decided, of a run or of a file of decisions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from proxy.policy.model import Policy
from runtime.cli.console.context import daemon_client, read_settings
from runtime.cli.console.output import emit, json_option, printable
from runtime.daemon.settings import Settings
from runtime.errors import OrchError
from runtime.explain.decision_file import Recorded, checked, read_decision_file
from runtime.explain.replay_report import replay as make_report
from runtime.policies.places import LoadedPolicy

SOMETHING_CHANGES = 10
"""Exit status: a decision would be another one."""
SOMETHING_UNKNOWN = 11
"""Exit status: none that can be told would be another one, and some cannot be told."""

Load = Callable[[str, Settings], LoadedPolicy]


def make_replay_command(load: Load) -> click.Command:
    """The command; `load` is how the group's commands load what `--policy` names."""

    @click.command("replay")
    @click.argument("source", metavar="RUN|FILE")
    @click.option("--policy", "name", required=True, help="The new policy's name, or its YAML file.")
    @click.option(
        "--was", default=None, help="What the decisions were made by (default: as each line names it)."
    )
    @json_option
    def command(*, source: str, name: str, was: str | None) -> int:
        """List each decision of a run, or of a file, that another policy would change.

        FILE has decision lines, as `orch egress RUN --json` prints them. Exit status 0: nothing changes; 10:
        something does; 11: nothing that can be told does, and something cannot be told.
        """
        own = read_settings()
        new = load(name, own).policy
        recorded = _recorded(source)
        given = load(was, own).policy if was is not None else None

        def find_old(named: str) -> Policy | None:
            if given is not None:
                return given
            try:
                return load(named, own).policy
            except OrchError:
                return None

        data = {
            "source": source,
            **make_report(recorded.lines, new, find_old),
            "other_lines": recorded.others,
        }
        emit(data, lambda: _print(data))
        if data["changed"]:
            return SOMETHING_CHANGES
        return SOMETHING_UNKNOWN if data["cannot_be_told"] else 0

    return command


def _recorded(source: str) -> Recorded:
    """A file where there is one of that name, else the run's decisions from the daemon."""
    if Path(source).is_file():
        return read_decision_file(Path(source))
    with daemon_client() as client:
        return checked(client.decisions(source), f"run {source}")


def _print(data: dict[str, Any]) -> None:
    for entry in (*data["changed"], *data["cannot_be_told"]):
        port = f":{entry['port']}" if entry["port"] else ""
        request = f"{entry['method'] or ''} {entry['host']}{port}{entry['path'] or ''}".strip()
        times = f" ({entry['times']} times)" if entry["times"] > 1 else ""
        would_be = _outcome(entry["would_be"])
        if entry["missing"]:
            by_rules = f"; by the rules {would_be}" if would_be else ""
            would_be = f"cannot be told without {entry['missing']}{by_rules}"
        click.echo(printable(f"{request}{times}: {_outcome(entry['was'])} -> {would_be}"))
    counts = [f"{count} {change.replace('_', ' ')}" for change, count in data["counts"].items() if count]
    click.echo(f"{data['decisions']} decisions under {data['policy']}: {', '.join(counts) or 'none'}")
    for policy, count in data["judged_by_another_policy"].items():
        click.echo(printable(f"{count} were not made by the policy {policy} as it stands now"))
    for words in data["not_replayed"]:
        click.echo(f"not replayed: {words}")


def _outcome(outcome: dict[str, Any] | None) -> str:
    if outcome is None:
        return ""
    why = outcome["reason_code"] or outcome["rule_id"] or ""
    return f"{outcome['verdict']} {why}".strip()
