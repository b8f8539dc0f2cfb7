"""`orch run --local --sandbox`: a sandbox on this machine, with a daemon that lives as long as the run."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from contextlib import suppress
from typing import Self

import click

from proxy.contract.decision_line import DecisionLine
from runtime.api.run_json import run_to_json
from runtime.cli.console.notes import is_talkative
from runtime.cli.console.output import printable, write_log
from runtime.cli.console.quiet import be_quiet
from runtime.cli.run.follow import SIGNALS
from runtime.cli.run.plan import RunPlan
from runtime.cli.run.report import report
from runtime.daemon.embedded import EmbeddedDaemon, own_settings, reap_dead
from runtime.daemon.settings import Settings
from runtime.engine.uninterrupted import uninterrupted
from runtime.errors import ConflictError, InterruptedRunError
from runtime.keys.settle import settle
from runtime.model.needs import Needs
from runtime.model.run import Run, RunRequest
from runtime.runs.ports import RunServicePort


def run_sandboxed(plan: RunPlan, settings: Settings, *, is_quiet: bool) -> int:
    """Run to the end; the exit status. Keys are the caller's own: there is no vault."""
    request = settled(plan.to_request(settings))
    be_quiet()
    if is_talkative() and sys.stderr.isatty():
        click.echo("starting a sandbox and its proxy ...", err=True)
    run, was_interrupted = asyncio.run(_run(settings, request, is_quiet=is_quiet))
    if run is None:
        raise InterruptedRunError("the run was cancelled")
    shown = {**run_to_json(run), "id": None, "result": run.result and run.result.parse()}
    return report(shown, was_interrupted=was_interrupted)


def settled(request: RunRequest) -> RunRequest:
    """With nothing left for a daemon to settle. Raises MissingSecretsError, LlmKeyRequiredError."""
    found = settle(request.needs, request.secrets, {}, workspace=None)
    return dataclasses.replace(request, secrets=found.secrets, env=found.env, needs=Needs())


async def _run(settings: Settings, request: RunRequest, *, is_quiet: bool) -> tuple[Run | None, bool]:
    """The run's record, None where it was never made; and whether the caller ended it."""
    own = EmbeddedDaemon(own_settings(settings, "local"))
    run: Run | None = None
    with _Interruption() as interruption:
        try:
            await reap_dead(own.engine)
            own.make_folder()
            await own.start()
            run = await _follow(own.daemon.service, request, is_quiet=is_quiet)
        except asyncio.CancelledError:
            if not interruption.has_come:
                raise
        finally:
            interruption.is_deferred = True
            await _remove(own)
        return run, interruption.has_come


async def _remove(own: EmbeddedDaemon) -> None:
    try:
        await own.close()
    finally:
        for name in await own.remove():
            click.echo(f"left behind: {name}", err=True)


async def _follow(service: RunServicePort, request: RunRequest, *, is_quiet: bool) -> Run:
    created = await uninterrupted(service.create(request))
    try:
        async for event in service.events(created.id):
            if event.kind == "log" and not is_quiet:
                write_log(str(event.data["text"]), sys.stderr)
    except asyncio.CancelledError:
        with suppress(ConflictError):  # it had ended by itself
            await service.cancel(created.id)
    if is_talkative():
        for line in await service.decisions(created.id):
            if line.get("verdict") == "deny":
                click.echo(printable(_refusal(line)), err=True)
    return await service.get(created.id)


def _refusal(line: DecisionLine) -> str:
    """What `orch egress` would show of it, were the run kept."""
    what = f"{line.get('method') or ''} {line.get('host')}:{line.get('port')}".strip()
    return f"refused: {what} {line.get('reason_code')}: {line.get('detail')}"


class _Interruption:
    """The first signal cancels the task; once what was made is being removed, all of them wait."""

    def __init__(self) -> None:
        self.has_come = False
        self.is_deferred = False
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._loop.add_signal_handler(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number in SIGNALS:
            self._loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        if self.is_deferred or self.has_come:
            click.echo("removing the sandbox", err=True)
        elif self._task is not None:
            self.has_come = True
            click.echo("cancelling", err=True)
            self._task.cancel()
