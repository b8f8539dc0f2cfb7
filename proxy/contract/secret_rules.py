"""What a secret's name and value may be: one rule for a manifest, a policy, the vault and a grant. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

SECRET_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
MAX_SECRET_BYTES = 16 << 10
"""In UTF-8. The tripwire searches a window with each piece of a body, which grows with the longest value."""


class ValueProblem(NamedTuple):
    """Why a text can be no secret's value, in words that hold nothing of it."""

    what: str
    remedy: str


_ENCODE = "encode it, for example as base64"
EMPTY = ValueProblem("it is empty", "give a value, or delete the secret")
HOLDS_NUL = ValueProblem("it holds a NUL", _ENCODE)
NOT_UTF8 = ValueProblem("it is not UTF-8 text", _ENCODE)
TOO_LONG = ValueProblem(
    f"it is longer than {MAX_SECRET_BYTES >> 10} KiB",
    "keep only the key itself, and put anything larger into the agent's files",
)


def is_secret_name(text: str) -> bool:
    """Whether this can be a secret's name."""
    return SECRET_NAME.fullmatch(text) is not None


def value_problem(value: str) -> ValueProblem | None:
    """What keeps this from being a secret's value; None for nothing."""
    if not value:
        return EMPTY
    if "\0" in value:
        return HOLDS_NUL
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return NOT_UTF8
    return TOO_LONG if size > MAX_SECRET_BYTES else None
