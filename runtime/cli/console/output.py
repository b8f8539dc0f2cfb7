"""How commands speak: JSON on stdout when asked or when it is no terminal, tables otherwise.

Errors follow the orchagent CLI: `{"error": true, "code", "message", "hint"?, "exit_code"}` on stdout in
JSON mode, a sentence on stderr otherwise, and its exit codes.

What an agent wrote goes to a terminal through `printable`: it must not drive the terminal.
"""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import click

from runtime.errors import OrchError

JSON_FLAG = "orchbox.json"
_UNPRINTABLE = re.compile(
    r"\x1b\[[0-9;]{0,20}m|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Colours are matched in order to be kept; then control codes, direction marks, halves of pairs."""


def is_json() -> bool:
    """Whether this command's output is JSON: --json, then ORCHAGENT_OUTPUT, then whether it is a terminal."""
    context = click.get_current_context(silent=True)
    if context is not None:
        if context.meta.get(JSON_FLAG):
            return True
        if context.obj in {"json", "text"}:
            return bool(context.obj == "json")
    return sys.stdout is None or not sys.stdout.isatty()  # None where the caller closed it


def json_option[F: Callable[..., Any]](command: F) -> F:
    """Give a command the option `--json`."""

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
        click.echo(to_json(data))
    else:
        human()


def to_json(data: object) -> str:
    """JSON for a reader. What an agent nested deeply is on one line: only that writer gets so far down."""
    try:
        return json.dumps(data, indent=2, default=str)
    except RecursionError:
        return json.dumps(data, default=str)


def emit_line(data: object) -> None:
    """One JSON line of a stream, at once."""
    click.echo(json.dumps(data, default=str))


def printable(text: str) -> str:
    """Text for a terminal: colours stay, other control characters are spelled out."""

    def show(match: re.Match[str]) -> str:
        found = match.group()
        if len(found) > 1:
            return found
        return f"\\x{ord(found):02x}" if ord(found) < 0x100 else f"\\u{ord(found):04x}"

    return _UNPRINTABLE.sub(show, text.replace("\r\n", "\n"))


def write_log(text: str, stream: TextIO) -> None:
    """An agent's own words: as they are into a file or pipe, made harmless on a terminal."""
    click.echo(printable(text) if stream.isatty() else text, nl=False, file=stream)


def error_body(error: OrchError) -> dict[str, object]:
    """The JSON form of an error."""
    body: dict[str, object] = {"error": True, "code": error.reported_code, "message": error.message}
    if error.hint:
        body["hint"] = error.hint
    return {**body, "exit_code": error.exit_status}


def fail(error: OrchError, **more: object) -> int:
    """Print an error the way this command speaks, with `more` in its JSON; its exit status."""
    if is_json():
        click.echo(to_json({**error_body(error), **more}))
    else:
        click.echo(f"error: {printable(error.message)}", err=True)
        if error.hint:
            click.echo(f"  try: {printable(error.hint)}", err=True)
    return error.exit_status


def speak_any_text() -> None:
    """Whatever the locale can write is written, and the rest is spelled out: no text ends a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def local_time(seconds: float) -> str:
    """A time for a person, in the machine's own zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
