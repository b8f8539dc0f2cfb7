"""`orch run AGENT`: pack, hand over the caller's keys, follow the log, print the result."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from runtime.api.run_json import request_to_json
from runtime.cli.console.context import daemon_target, read_settings
from runtime.cli.console.label_option import label_option
from runtime.cli.console.output import json_option
from runtime.cli.run.follow import Interrupts, follow
from runtime.cli.run.plan import RunPlan, read_plan
from runtime.client.connection import Client
from runtime.errors import InvalidInputError
from runtime.model.limits import Isolation
from runtime.model.llm_providers import PROVIDERS


@click.command()
@click.argument("agent")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--data", "--input", "data", help="The input: JSON, @FILE, or - for stdin.")
@click.option("--local", "is_local", is_flag=True, help="Run on this machine, with no daemon and no sandbox.")
@click.option("--sandbox", "is_sandboxed", is_flag=True, help="With --local: in a sandbox all the same.")
@click.option("--key", help="An LLM key for this run; needs --provider. Others see a command's arguments.")
@click.option("--provider", type=click.Choice(PROVIDERS), help="Which provider to use.")
@click.option("--model", help="The model, as LLM_MODEL.")
@click.option("--workspace", help="Whose vault has the other secrets.  [default: the caller's, or default]")
@label_option("A label of the run, by which `orch runs` finds it. Several are taken.")
@click.option("--policy", default="llm-only", show_default=True, help="The egress policy.")
@click.option(
    "--isolation",
    type=click.Choice([i.value for i in Isolation]),
    default=Isolation.RUNC.value,
    show_default=True,
)
@click.option("--timeout", type=click.FloatRange(min=0.1, max=3600), help="Time limit in seconds.")
@click.option("--no-stream", "is_quiet", is_flag=True, help="Do not show the agent's log while it runs.")
@json_option
@click.pass_context
def run(context: click.Context, /, agent: str, file: Path | None, **options: Any) -> int:
    """Run AGENT (a directory with orchagent.json) in a sandbox, with FILE as its upload.

    The log and a closing line go to stderr, the result to stdout. Ctrl-C cancels the run. An agent with
    requirements.txt or package.json is set up in its sandbox: the policy has to allow the registry.
    """
    _check_place(context, options)
    plan = read_plan(agent, file, options, os.environ)
    is_quiet: bool = options["is_quiet"]
    if not options["is_local"]:
        return _run_on_daemon(plan, is_quiet=is_quiet)
    if not options["is_sandboxed"]:
        from runtime.cli.run.local import run_local  # noqa: PLC0415 - each way of running needs its own imports

        return run_local(plan, os.environ, is_quiet=is_quiet)
    from runtime.cli.run.local_sandbox import run_sandboxed  # noqa: PLC0415 - as above

    return run_sandboxed(plan, read_settings(), is_quiet=is_quiet)


def _check_place(context: click.Context, options: dict[str, Any]) -> None:
    """A sandbox's options without a sandbox would be a false promise. Raises InvalidInputError."""
    if options["is_sandboxed"] and not options["is_local"]:
        raise InvalidInputError("--sandbox needs --local", hint="without --local every run has a sandbox")
    if options["is_local"] and not options["is_sandboxed"]:
        for name in ("policy", "isolation"):
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise InvalidInputError(f"--{name}: --local runs without a sandbox", hint="add --sandbox")
    if options["is_local"] and options["labels"]:
        raise InvalidInputError("--label: --local keeps no record of its runs", hint="leave out --local")


def _run_on_daemon(plan: RunPlan, *, is_quiet: bool) -> int:
    """The daemon adds what the workspace's vault has, and decides whether it is enough."""
    settings = read_settings()
    request = plan.to_request(settings)
    with closing(Client(daemon_target(settings))) as client, Interrupts() as interrupts:
        body = request_to_json(request)
        if plan.workspace is None:  # the daemon knows whose the caller is
            del body["workspace"]
        created = client.create_run(body, request.bundle, request.uploads)
        return follow(client, created["id"], interrupts, is_quiet=is_quiet)
