"""Where `orch secrets set` takes a value from: the argument, else stdin, else a prompt that shows nothing."""

from __future__ import annotations

import sys

import click

from runtime.errors import InvalidInputError
from runtime.model.secret import Secret
from runtime.vault.entry import MAX_VALUE_BYTES, check_value


def read_value(given: tuple[str, ...]) -> Secret:
    """The value, checked. Raises InvalidInputError, which never repeats it."""
    if len(given) > 1:  # click's own message would print the arguments
        raise InvalidInputError("VALUE: more than one", hint="quote it, or give it on stdin")
    value = Secret(given[0] if given else _typed() if sys.stdin.isatty() else _piped())
    check_value(value)
    return value


def _typed() -> str:
    return str(click.prompt("value", hide_input=True, err=True, default="", show_default=False))


def _piped() -> str:
    """All of stdin, without the newline that `echo` or a here-document puts behind it."""
    content = sys.stdin.buffer.read(MAX_VALUE_BYTES + 3)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise InvalidInputError("value: not UTF-8 text", hint="encode it, for example as base64") from None
    return text.removesuffix("\n").removesuffix("\r")
