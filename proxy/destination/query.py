"""The pieces of a query, and the words that a name is made of, as servers read them. Pure.

>>> words("X-apiKey"), words("client_secret"), words("x.API.key")
(('x', 'api', 'key'), ('client', 'secret'), ('x', 'api', 'key'))
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

_NEITHER = re.compile(r"[^a-z0-9]+")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


class Parameter(NamedTuple):
    """One piece of a query, as it stands there."""

    separator: str
    """`?`, `&` or `;` before it."""
    text: str
    name: str
    """Decoded as often as a server may, without `$` before it and `[...]` behind it."""
    value: str
    """Decoded."""

    @property
    def known_as(self) -> str:
        """The name in the one spelling that is compared: its letters and digits, in lower case."""
        return compact(self.name)


def parse_query(target: str) -> tuple[str, list[Parameter]]:
    """The path, and the pieces of the query; pieces joined give it again.

    `;` separates too, since some servers let it.
    """
    path, mark, query = target.partition("?")
    if not mark:
        return path, []
    pieces = re.split(r"([&;])", query)
    separators = ["?", *pieces[1::2]]
    return path, [_parameter(*piece) for piece in zip(separators, pieces[::2], strict=True)]


def words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case, whether camelCase, `-`, `_`, `.` or anything else parts them."""
    return tuple(word.lower() for word in _WORD.findall(name))


def compact(name: str) -> str:
    """A name's letters and digits alone, in lower case."""
    return _NEITHER.sub("", name.lower())


def shown_name(name: str) -> str:
    """A name that the client chose, cut to what can be no key."""
    return name if len(name) <= 40 and name.isprintable() and name.isascii() else "..."


def decoded(text: str) -> str:
    """Percent escapes and `+` undone once."""
    return unquote_to_bytes(text.replace("+", " ").encode("latin-1", "replace")).decode("latin-1")


def _parameter(separator: str, text: str) -> Parameter:
    name, _, value = text.partition("=")
    known = decoded(decoded(name)).strip().lstrip("$")
    return Parameter(separator, text, known.partition("[")[0], decoded(value))
