"""`orch run --local`: the agent as a process of the caller's. Nothing is stored; we send nothing."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from runtime.cli.console.notes import is_talkative, too_short_note
from runtime.cli.console.output import write_log
from runtime.cli.run.follow import Interrupts
from runtime.cli.run.input import document, stored_name
from runtime.cli.run.plan import RunPlan
from runtime.cli.run.report import report
from runtime.engine.protocol import ExitStatus
from runtime.keeper.ends import CANCELLED
from runtime.keys.redactor import Redactor, too_short
from runtime.keys.settle import Settled, settle
from runtime.local.environment import agent_environment, setup_environment
from runtime.local.input import with_absolute_paths
from runtime.local.process import Program, run_process
from runtime.local.setup import pip_commands, with_venv
from runtime.model.llm_providers import LOCAL, PROVIDER_OF_KEY
from runtime.model.run import RunState
from runtime.sandbox.outcome import Outcome, judge
from runtime.sandbox.output import Output
from runtime.sandbox.sandbox_init import SETUP_FAILED


def run_local(plan: RunPlan, environment: Mapping[str, str], *, is_quiet: bool) -> int:
    """Run to the end; the exit status."""
    settled = settle(plan.needs, plan.given, {}, workspace=None, is_local=True)
    _say_where(settled, environment)
    if (names := too_short(settled.secrets)) and is_talkative():
        click.echo(too_short_note(names), err=True)
    created_at = time.time()
    limits = plan.limits
    redact = Redactor(secret.reveal() for secret in settled.secrets.values())
    output = Output(redact, stdout_bytes=limits.output_bytes, log_bytes=limits.log_bytes)
    try:
        with (
            Interrupts() as interrupts,
            tempfile.TemporaryDirectory(prefix="orchbox-local-", ignore_cleanup_errors=True) as place,
        ):
            interrupts.release()
            on_log = (lambda _text: None) if is_quiet else _log
            status = _run(plan, settled, environment, Path(place), output, on_log)
    except KeyboardInterrupt:
        cancelled = Outcome(RunState.CANCELLED, CANCELLED)
        return report(_record(plan, created_at, cancelled), was_interrupted=True)
    return report(_record(plan, created_at, judge(status, output, limits)))


def _record(plan: RunPlan, created_at: float, outcome: Outcome) -> dict[str, Any]:
    """As `run_json.run_to_json` has it, without what only a daemon's run has."""
    return {
        **dict.fromkeys(("id", "policy_name", "isolation")),
        "agent_ref": plan.manifest.name,
        "created_at": created_at,
        "finished_at": time.time(),
        "state": outcome.state.value,
        "error": dataclasses.asdict(outcome.error) if outcome.error else None,
        "result": outcome.result and outcome.result.parse(),
    }


def _run(
    plan: RunPlan,
    settled: Settled,
    environment: Mapping[str, str],
    place: Path,
    output: Output,
    on_log: Callable[[str], None],
) -> ExitStatus | None:
    """The set-up, then the agent, each within the limit; None where it passed."""

    def start(argv: list[str] | tuple[str, ...], env: Mapping[str, str], stdin: bytes) -> ExitStatus | None:
        return run_process(
            Program(tuple(argv), plan.folder, env, stdin),
            output=output,
            on_log=on_log,
            timeout_s=plan.limits.timeout_s,
            grace_s=plan.limits.grace_s,
        )

    now_ms = int(time.time() * 1000)
    env = agent_environment(environment, plan.dotenv, settled, plan.manifest, now_ms=now_ms)
    data = with_absolute_paths(plan.data, Path.cwd())
    stdin = document(data, plan.files, uploads=str(place / "uploads"))
    _save(plan.files, place / "uploads")
    commands = pip_commands(plan.folder, place, plan.launch)
    for command in commands:
        status = start(command, setup_environment(env, settled), b"")
        if status is None or status.code != 0:
            return status and ExitStatus(SETUP_FAILED, is_oom_killed=False)
    return start(plan.launch.argv, with_venv(env, place) if commands else env, stdin.encode())


def _save(files: Mapping[str, bytes], folder: Path) -> None:
    """The uploads, where the document says they are; they go with the run."""
    for name, content in files.items():
        folder.mkdir(exist_ok=True)
        (folder / stored_name(name)).write_bytes(content)


def _say_where(settled: Settled, environment: Mapping[str, str]) -> None:
    if not is_talkative() or not sys.stderr.isatty():
        return
    click.echo("running on this machine without a sandbox: the agent can do what you can", err=True)
    provider = LOCAL.get(settled.env.get("LLM_PROVIDER", ""))
    if provider is not None and not PROVIDER_OF_KEY.keys() & settled.secrets.keys():
        click.echo(f"no LLM key: using {provider.name} ({provider.url_in(environment)})", err=True)


def _log(text: str) -> None:
    write_log(text, sys.stderr)
