"""`orch install`, `orch update` and `orch formats`: prompts for other tools. No key, no daemon, no engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from runtime.agents.folder import agent_folder
from runtime.cli.console.output import emit, json_option, printable
from runtime.errors import InvalidInputError, NotFoundError, OrchError
from runtime.install.exports import Export, State, export_of, state_of, write
from runtime.install.formats import FORMATS, Format, Scope
from runtime.install.installed import LOCAL_VERSION, Installed
from runtime.install.prompt import PromptAgent, load_prompt_agent

_DONE = {State.ABSENT: "installed", State.CURRENT: "unchanged", State.OUTDATED: "updated"}
_WHY_LEFT = {
    State.EDITED: "was edited by hand and is left alone (orch update --force overwrites it)",
    State.FOREIGN: "is not Orchbox's and is left alone (move it away to install)",
}


@click.command()
@click.argument("agent")
@click.option("--format", "formats", default="claude-code", show_default=True, help="Comma-separated.")
@click.option("--scope", type=click.Choice(["user", "project"]), default="user", show_default=True)
@click.option("--global", "is_global", is_flag=True, help="The same as --scope user.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Say what would be written, and write nothing.")
@json_option
def install(*, agent: str, formats: str, scope: Scope, is_global: bool, is_dry: bool) -> int:
    """Export AGENT's prompt to other tools. AGENT is a directory with prompt.md."""
    folder = agent_folder(agent).resolve()
    chosen = _formats(formats)
    prompt = load_prompt_agent(folder)
    wanted_scope: Scope = "user" if is_global else scope
    done: dict[str, Any] = {
        "success": False,
        "agent": prompt.reference,
        "version": LOCAL_VERSION,
        "scope": wanted_scope,
        "formats": [format_.id for format_ in chosen],
        "dry_run": is_dry,
        "files": [],
        "warnings": _warnings(prompt, chosen, wanted_scope),
        "errors": [],
    }
    record = Installed(Path.home())
    for format_ in chosen:
        export = export_of(prompt, format_, wanted_scope, home=Path.home(), cwd=Path.cwd())
        _install_one(export, record, folder, done, is_dry=is_dry)
    done["success"] = bool(done["files"])
    emit(done, lambda: _show(done))
    return 0 if done["success"] else OrchError.exit_code


def _install_one(
    export: Export, record: Installed, source: Path, done: dict[str, Any], *, is_dry: bool
) -> None:
    """One format; what is wrong with it is told, and the others go on."""
    try:
        state = state_of(export, record.digest_of(export))
        if state not in _DONE:
            done["warnings"].append(f"{export.path} {_WHY_LEFT[state]}")
            return
        if not is_dry:
            if state is not State.CURRENT:
                write(export)
            record.add(export, source)
    except OrchError as exc:
        done["errors"].append(exc.message)
        return
    done["files"].append(
        {"path": str(export.path), "format": export.format.id, "scope": export.scope, "action": _DONE[state]}
    )


def _formats(text: str) -> list[Format]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise InvalidInputError(
            f"--format: unknown: {', '.join(unknown) or 'none given'}", hint=f"one of {', '.join(FORMATS)}"
        )
    return [FORMATS[name] for name in names]


def _warnings(prompt: PromptAgent, chosen: list[Format], scope: Scope) -> list[str]:
    found = [
        f"{format_.title} has no {scope} scope: {format_.scopes[0]} is used"
        for format_ in chosen
        if scope not in format_.scopes
    ]
    if prompt.has_skills:
        found.append("default_skills are left out: there is no registry to take them from yet")
    if prompt.input_schema or prompt.output_schema:
        found.append("schemas are told in the prompt, not enforced")
    return found


def _show(done: dict[str, Any]) -> None:
    for file in done["files"]:
        action = f"would be {file['action']}" if done["dry_run"] else file["action"]
        click.echo(printable(f"{action}: {file['path']}"))
    for text in (*done["warnings"], *done["errors"]):
        click.echo(printable(f"note: {text}"), err=True)
    if not done["success"]:
        click.echo("nothing was installed", err=True)


@click.command()
@click.argument("agent", required=False)
@click.option("--check", "is_check", is_flag=True, help="Say what would be updated, and write nothing.")
@click.option("--force", "is_forced", is_flag=True, help="Overwrite edited files and restore missing ones.")
@json_option
def update(*, agent: str | None, is_check: bool, is_forced: bool) -> None:
    """Bring exported prompts (of AGENT, or all) up to date with their directories."""
    record = Installed(Path.home())
    entries = [entry for entry in record.entries if "source" in entry and _is_meant(entry, agent)]
    if agent is not None and not entries:
        raise NotFoundError(f"{agent} is not installed", hint=f"orch install {agent}")
    rows = [_update_one(entry, record, is_check=is_check, is_forced=is_forced) for entry in entries]
    lines = [printable(f"{row['status']}: {row['path']}{_note(row)}") for row in rows]
    emit({"check": is_check, "files": rows}, lambda: click.echo("\n".join(lines or ["nothing is installed"])))


def _is_meant(entry: dict[str, Any], agent: str | None) -> bool:
    if agent is None:
        return True
    names = {entry.get("agent"), str(entry.get("agent")).partition("/")[2], entry["source"]}
    return agent in names or str(Path(agent).expanduser().resolve()) == entry["source"]


def _update_one(
    entry: dict[str, Any], record: Installed, *, is_check: bool, is_forced: bool
) -> dict[str, str]:
    row = {name: str(entry.get(name)) for name in ("agent", "format", "path")}
    try:
        prompt = load_prompt_agent(Path(entry["source"]))
        format_ = FORMATS[row["format"]]
        scope = format_.scopes[0] if entry.get("scope") not in format_.scopes else entry["scope"]
        export = Export(format_, scope, Path(row["path"]), prompt.reference, format_.render(prompt))
        state = state_of(export, record.digest_of(export))
        is_written = state is State.OUTDATED or (is_forced and state is not State.CURRENT)
        if is_written and not is_check:
            write(export)
            record.add(export, Path(entry["source"]))
    except (OrchError, KeyError, TypeError) as exc:
        why = exc.message if isinstance(exc, OrchError) else "its entry in installed.json is not ours"
        return {**row, "status": "failed", "note": why}
    if is_written:
        return {**row, "status": "update available" if is_check else "updated"}
    if state is State.CURRENT:
        return {**row, "status": "up to date"}
    status = "missing" if state is State.ABSENT else state.value
    return {**row, "status": status, "note": "--force writes it anew"}


def _note(row: dict[str, str]) -> str:
    return f" ({row['note']})" if "note" in row else ""


@click.command()
@json_option
def formats() -> None:
    """List the formats that `orch install` knows."""
    rows = [{"id": f.id, "name": f.title, "scopes": list(f.scopes), "path": f.path} for f in FORMATS.values()]
    lines = [f"{f.id:<12} {f.title:<22} {', '.join(f.scopes):<14} {f.path}" for f in FORMATS.values()]
    emit({"formats": rows}, lambda: click.echo("\n".join(lines)))
