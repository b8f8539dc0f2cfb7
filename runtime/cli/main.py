"""`orch`: the entry point. Exit statuses are those of `runtime.errors`."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from typing import Any

import click

from runtime.cli.console.lazy import LazyGroup, Place
from runtime.cli.console.output import JSON_FLAG, fail, speak_any_text
from runtime.errors import InterruptedRunError, InvalidInputError, OrchError
from runtime.version import VERSION

OUTPUT_VARIABLE = "ORCHAGENT_OUTPUT"
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
"""Of an error without a file's name: a stream's."""


_COMMANDS = "runtime.cli.commands"
_PLACES = {
    "up": Place(f"{_COMMANDS}.daemon", "up", "Start the daemon, its proxy and the host guard."),
    "down": Place(
        f"{_COMMANDS}.daemon",
        "down",
        "Stop the daemon: ends its runs and removes its containers and networks.",
    ),
    "doctor": Place(
        f"{_COMMANDS}.doctor",
        "doctor",
        "Look at all that a run needs; before orch up, at what is there by then.",
    ),
    "run": Place(
        "runtime.cli.run.command",
        "run",
        "Run AGENT (a directory with orchagent.json) in a sandbox, with FILE as its upload.",
    ),
    "runs": Place(f"{_COMMANDS}.runs", "runs", "List the newest runs, with their ids, states and errors."),
    "logs": Place(
        f"{_COMMANDS}.runs", "logs", "Show a run's log (the end of what the agent wrote to stderr)."
    ),
    "egress": Place(f"{_COMMANDS}.runs", "egress", "Show what the proxy decided for a run."),
    "cancel": Place(f"{_COMMANDS}.runs", "cancel", "Cancel a run, and wait until its sandbox is removed."),
    "prune": Place(
        f"{_COMMANDS}.prune",
        "prune",
        "Remove finished runs and audit lines that are older or larger than is kept.",
    ),
    "policy": Place(
        f"{_COMMANDS}.policy",
        "policy",
        "Check policies, explain a request, replay what was decided.",
    ),
    "probe": Place(f"{_COMMANDS}.probe", "probe", "Attack this host from inside a real sandbox."),
    "install": Place(f"{_COMMANDS}.install", "install", "Export AGENT's prompt to other tools."),
    "update": Place(
        f"{_COMMANDS}.install",
        "update",
        "Bring exported prompts (of AGENT, or all) up to date with their directories.",
    ),
    "formats": Place(f"{_COMMANDS}.install", "formats", "List the formats that `orch install` knows."),
    "audit": Place(
        f"{_COMMANDS}.audit",
        "audit",
        "The audit: who did what, in files that show every later change to them.",
    ),
    "secrets": Place(
        f"{_COMMANDS}.secrets",
        "secrets",
        "Secrets of a workspace: given to runs that declare them, shown to nobody.",
    ),
    "token": Place(
        f"{_COMMANDS}.token", "token", "Tokens: who may call the API over TCP, and what they may do there."
    ),
    "workspaces": Place(f"{_COMMANDS}.workspaces", "workspaces", "Workspaces: each has secrets of its own."),
}


class _Orch(LazyGroup):
    places = _PLACES


@click.group(cls=_Orch)
@click.version_option(VERSION, prog_name="orch")
def cli() -> None:
    """Run agents in sandboxes whose only way out is an allowlist proxy."""


def main(argv: list[str] | None = None) -> None:
    """Run the command and exit."""
    arguments = sys.argv[1:] if argv is None else argv
    output = os.environ.get(OUTPUT_VARIABLE)
    meta: dict[str, Any] = {JSON_FLAG: "--json" in arguments}
    speak_any_text()
    with click.Context(cli, info_name="orch", obj=output) as context:
        context.meta.update(meta)
        try:
            status = _invoke(arguments, output)
        except OSError as exc:  # the error itself could not be told where errors are told
            status = _tell_unwritable(exc)
        sys.exit(status)


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
        _drop_stdout()
        return OrchError.exit_code
    except OrchError as exc:
        return fail(exc)
    except OSError as exc:
        return _tell_unwritable(exc) if exc.errno in _UNWRITABLE and exc.filename is None else fail(_bug(exc))
    except Exception as exc:  # noqa: BLE001 - a bug of ours: where it is, not what it held
        return fail(_bug(exc))
    return status if isinstance(status, int) else 0


def _drop_stdout() -> None:
    """Or the interpreter complains at exit of what is still buffered."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell_unwritable(exc: OSError) -> int:
    """Stdout takes nothing: a full disk, for example. Say so on stderr, as far as that takes anything."""
    _drop_stdout()
    with contextlib.suppress(OSError):
        click.echo(f"error: the output could not be written: {exc.strerror}", err=True)
    return OrchError.exit_code


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
