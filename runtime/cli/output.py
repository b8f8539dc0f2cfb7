"""How commands speak: JSON on stdout when asked or when it is no terminal, tables otherwise.

Errors follow the orchagent CLI: `{"error": true, "code", "message", "hint"?, "exit_code"}` on stdout in
JSON mode, a sentence on stderr otherwise, and its exit codes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import click

from runtime.client import ApiError
from runtime.errors import OrchError

JSON_FLAG = "orchbox.json"


def is_json() -> bool:
    """Whether this command's output is JSON: --json, ORCHAGENT_OUTPUT=json, or no terminal."""
    context = click.get_current_context(silent=True)
    if context is not None and context.meta.get(JSON_FLAG):
        return True
    return not sys.stdout.isatty()


def json_option[F: Callable[..., Any]](command: F) -> F:
    """`--json` for a command."""

    def remember(context: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001
        if value:
            context.meta[JSON_FLAG] = True

    option = click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=remember,
        help="Print JSON (default without a terminal).",
    )
    return option(command)


def emit(data: object, human: Callable[[], None]) -> None:
    """Print `data` as JSON, or let `human` print it for a person."""
    if is_json():
        click.echo(json.dumps(data, indent=2, default=str))
    else:
        human()


def fail(error: OrchError) -> int:
    """Print an error the way this command speaks; its exit status."""
    status = error.exit_status if isinstance(error, ApiError) else error.exit_code
    if is_json():
        body: dict[str, object] = {"error": True, "code": error.reported_code, "message": error.message}
        if error.hint:
            body["hint"] = error.hint
        click.echo(json.dumps({**body, "exit_code": status}, indent=2))
    else:
        click.echo(f"error: {error.message}", err=True)
        if error.hint:
            click.echo(f"  try: {error.hint}", err=True)
    return status
