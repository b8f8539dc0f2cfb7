"""What may pass beside a sandbox's own credential, on a host that lists it: names only. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.$-]{0,99}\*?")


@dataclass(frozen=True, slots=True)
class Passes:
    """Names; one that ends in `*` stands for all that begin so. A host without a list is judged by words."""

    headers: frozenset[str] = frozenset()
    """In lower case."""
    parameters: frozenset[str] = frozenset()
    """Of the query, in their own case and without `$` before them."""
    subprotocols: frozenset[str] = frozenset()
    """Of a WebSocket."""

    def __or__(self, other: Passes) -> Passes:
        return Passes(
            self.headers | other.headers,
            self.parameters | other.parameters,
            self.subprotocols | other.subprotocols,
        )


def join(lists: Iterable[Passes]) -> Passes | None:
    """One list of them all; None where there is none."""
    joined = None
    for one in lists:
        joined = one if joined is None else joined | one
    return joined


def is_listed(names: Iterable[str], name: str) -> bool:
    """Whether one of the names is this one, or stands for it."""
    return any(name.startswith(known[:-1]) if known.endswith("*") else name == known for known in names)


def check_passed_name(text: str) -> str:
    """Give back a name of such a list. Raises ValueError for one that could stand for anything."""
    if not _NAME.fullmatch(text):
        raise ValueError("not a name, or the beginning of one and *, as in x-stainless-*")
    return text
