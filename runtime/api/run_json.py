"""Runs as JSON: what the client asks for, and what the daemon answers.

No model of the reading side is here: the `orch` command would pay for it at each start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from runtime.model.json_text import JsonText
from runtime.model.json_value import writable
from runtime.model.limits import Limits
from runtime.model.run import Run, RunRequest, RunSummary


def request_to_json(request: RunRequest) -> dict[str, object]:
    """The `request` part for `run_body.to_run_request`; the bundle and the uploads are parts of their own.

    Raises ValueError for limits other than the time: the API takes no others, and none is dropped unsaid.
    """
    if request.limits != Limits(timeout_s=request.limits.timeout_s):
        raise ValueError("only the time limit crosses the API")
    return {
        "agent_ref": request.agent_ref,
        "image": request.image,
        "argv": list(request.argv),
        "setup_argv": list(request.setup_argv) if request.setup_argv else None,
        "input": request.input.decode(),
        "policy": request.policy_name,
        "isolation": request.isolation.value,
        "timeout_s": request.limits.timeout_s,
        "env": dict(request.env),
        "secrets": {name: secret.reveal() for name, secret in request.secrets.items()},
        "needs": dataclasses.asdict(request.needs),
        "workspace": request.workspace,
        "labels": request.labels,
    }


def run_to_json(run: Run) -> dict[str, object]:
    """A run as the API shows it; its result is a text of JSON (`json_text.write_object`)."""
    # Not asdict(): it copies, and the result may be large.
    shown = {field.name: getattr(run, field.name) for field in dataclasses.fields(run)}
    shown["error"] = dataclasses.asdict(run.error) if run.error else None
    return shown


def run_to_summary(run: RunSummary | Run) -> dict[str, object]:
    """A run in a list: without what the agent wrote."""
    shown = {field.name: getattr(run, field.name) for field in dataclasses.fields(RunSummary)}
    shown["error"] = dataclasses.asdict(run.error) if run.error else None
    return shown


def event_to_json(data: Mapping[str, object], at: float) -> dict[str, object]:
    """An event's data; what is no JSON is left out. A result is a text of JSON."""
    shown = {
        name: value if isinstance(value, JsonText) else writable(value, "") for name, value in data.items()
    }
    return {**shown, "at": at}
