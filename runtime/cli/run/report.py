"""How a run that has ended is told: its result on stdout, or its error; the exit status."""

from __future__ import annotations

from typing import Any

import click

from runtime.cli.console.notes import is_talkative
from runtime.cli.console.output import fail, is_json, printable, to_json
from runtime.errors import InterruptedRunError, OrchError, RunTimeoutError, SandboxFailedError, error_type
from runtime.model.run import RunState

_SHOWN = ("id", "agent_ref", "policy_name", "isolation", "state", "created_at", "finished_at", "result")


def report(done: dict[str, Any], *, was_interrupted: bool = False) -> int:
    """Print the run's record (`run_json.run_to_json`). Its `id` is None where no daemon keeps it."""
    took = max(0.0, (done["finished_at"] or done["created_at"]) - done["created_at"])
    if is_talkative():
        kept = f" - run {done['id']} - orch egress {done['id']}" if done["id"] else ""
        click.echo(f"{done['state']} in {took:.1f} s{kept}", err=True)
    if done["state"] != RunState.COMPLETED.value:
        more = {} if done["result"] in (None, "") else {"result": done["result"]}
        error = _error_of(done, was_interrupted=was_interrupted)
        return fail(error, run_id=done["id"], state=done["state"], **more)
    if is_json():
        click.echo(to_json({key: done[key] for key in _SHOWN}))
    else:
        result = done["result"]
        click.echo(printable(result) if isinstance(result, str) else to_json(result))
    return 0


def _error_of(done: dict[str, Any], *, was_interrupted: bool) -> OrchError:
    error = done["error"] or {"code": OrchError.code, "message": f"the run is {done['state']}"}
    kind = error_type(error["code"]) or SandboxFailedError
    if done["state"] == RunState.TIMEOUT.value:
        kind = RunTimeoutError
    elif was_interrupted:
        kind = InterruptedRunError
    hint = f"orch logs {done['id']}" if done["id"] else None
    return kind(error["message"], hint=hint, code=error["code"])
