"""`orch`: the entry point. Exit codes follow the orchagent CLI (see `runtime.errors`)."""

from __future__ import annotations

import sys
from typing import Any

import click

from runtime.cli import daemon, policy, run, runs
from runtime.cli.output import JSON_FLAG, fail
from runtime.errors import InvalidInputError, OrchError


@click.group()
@click.version_option("0.1.0", prog_name="orch")
def cli() -> None:
    """Run agents in sandboxes whose only way out is an allowlist proxy."""


cli.add_command(daemon.up)
cli.add_command(daemon.down)
cli.add_command(daemon.doctor)
cli.add_command(run.run)
cli.add_command(runs.runs)
cli.add_command(runs.logs)
cli.add_command(runs.egress)
cli.add_command(runs.cancel)
cli.add_command(policy.policy)


def main(argv: list[str] | None = None) -> None:
    """Run the command and exit."""
    arguments = sys.argv[1:] if argv is None else argv
    meta: dict[str, Any] = {JSON_FLAG: "--json" in arguments}
    with click.Context(cli, info_name="orch") as context:
        context.meta.update(meta)
        sys.exit(_invoke(arguments))


def _invoke(arguments: list[str]) -> int:
    try:
        status = cli.main(arguments, prog_name="orch", standalone_mode=False)
    except click.UsageError as exc:
        where = exc.ctx.command_path if exc.ctx else "orch"
        return fail(InvalidInputError(exc.format_message(), hint=f"{where} --help"))
    except (click.Abort, KeyboardInterrupt):
        return 130
    except OrchError as exc:
        return fail(exc)
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    main()
