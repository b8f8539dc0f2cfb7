"""`orch`: the entry point. Exit statuses are those of `runtime.errors`."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import click

from runtime.cli.commands import daemon, doctor, install, policy, probe, prune, runs, secrets, workspaces
from runtime.cli.console.output import JSON_FLAG, fail
from runtime.cli.run import command as run
from runtime.errors import InterruptedRunError, InvalidInputError, OrchError
from runtime.version import VERSION

OUTPUT_VARIABLE = "ORCHAGENT_OUTPUT"


@click.group()
@click.version_option(VERSION, prog_name="orch")
def cli() -> None:
    """Run agents in sandboxes whose only way out is an allowlist proxy."""


cli.add_command(daemon.up)
cli.add_command(daemon.down)
cli.add_command(doctor.doctor)
cli.add_command(run.run)
cli.add_command(runs.runs)
cli.add_command(runs.logs)
cli.add_command(runs.egress)
cli.add_command(runs.cancel)
cli.add_command(prune.prune)
cli.add_command(policy.policy)
cli.add_command(probe.probe)
cli.add_command(install.install)
cli.add_command(install.update)
cli.add_command(install.formats)
cli.add_command(secrets.secrets)
cli.add_command(workspaces.workspaces)


def main(argv: list[str] | None = None) -> None:
    """Run the command and exit."""
    arguments = sys.argv[1:] if argv is None else argv
    output = os.environ.get(OUTPUT_VARIABLE)
    meta: dict[str, Any] = {JSON_FLAG: "--json" in arguments}
    with click.Context(cli, info_name="orch", obj=output) as context:
        context.meta.update(meta)
        sys.exit(_invoke(arguments, output))


def _invoke(arguments: list[str], output: str | None) -> int:
    try:
        _check_output(output)
        status = cli.main(arguments, prog_name="orch", standalone_mode=False, obj=output)
    except click.exceptions.NoArgsIsHelpError as exc:
        click.echo(exc.format_message(), err=True)
        return InvalidInputError.exit_code
    except click.ClickException as exc:
        context = getattr(exc, "ctx", None)
        hint = f"{context.command_path if context else 'orch'} --help"
        return fail(InvalidInputError(exc.format_message(), hint=hint))
    except (click.Abort, KeyboardInterrupt):
        return InterruptedRunError.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at exit
        return OrchError.exit_code
    except OrchError as exc:
        return fail(exc)
    except Exception as exc:  # noqa: BLE001 - a bug of ours: where it is, not what it held
        return fail(_bug(exc))
    return status if isinstance(status, int) else 0


def _check_output(output: str | None) -> None:
    if output not in {None, "", "json", "text"}:
        raise InvalidInputError(
            f"environment variable {OUTPUT_VARIABLE}: expected json or text",
            hint=f"set or unset {OUTPUT_VARIABLE}",
        )


def _bug(exc: Exception) -> OrchError:
    frames = traceback.extract_tb(exc.__traceback__)[-3:]
    where = ", ".join(f"{os.path.basename(f.filename)}:{f.lineno}" for f in frames)  # noqa: PTH119
    return OrchError(f"orch itself failed: {type(exc).__name__} at {where}", hint="please report this")


if __name__ == "__main__":
    main()
