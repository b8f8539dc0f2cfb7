"""Headers and parameters by which a server takes another method, path or header than those that were judged.

There is no list of all of them, so that they are told by the words of their names. Pure.

>>> next(find_overrides("/v1/x?_method=delete", ()))
Override(what='method', name='_method')
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from proxy.destination.query import compact, decoded, parse_query, words

_METHODS = frozenset(
    """
    ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK LOCK MERGE MKCALENDAR MKCOL MOVE OPTIONS
    PATCH POST PRI PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH TRACE UNBIND UNLINK UNLOCK
    UPDATE
    """.split()  # noqa: SIM905 - a list to read
)
_METHOD_NAMES = ("httpmethod", "httpverb", "methodoverride", "overridemethod", "verboverride")
_HEADER_NAMES = ("httpheader", "httpheaders")
_PATH_WORDS = frozenset(
    ["destination", "path", "prefix", "reroute", "rewrite", "rewritten", "route", "uri", "url"]
)
_SECOND_PATHS = ("copysource", "renamesource")
_OF_CORS = "accesscontrolrequestmethod"
"""Asks for nothing: a preflight says by it what the request behind it will be."""


class Override(NamedTuple):
    """What a request would have replaced, and by what."""

    what: Literal["method", "path", "headers"]
    name: str
    """Of the header or parameter, as the client chose it."""


def find_overrides(target: str, headers: Iterable[tuple[str, str]]) -> Iterator[Override]:
    """Each header and parameter by which the upstream may take something else than what was judged."""
    for name, value in headers:
        what = _override(name, value)
        if what is not None:
            yield Override(what, name)
        elif not _PATH_WORDS.isdisjoint(words(name)) or compact(name).endswith(_SECOND_PATHS):
            yield Override("path", name)
    for parameter in parse_query(target)[1]:
        what = _override(parameter.name, parameter.value)
        if what is not None:
            yield Override(what, parameter.name)


def _override(name: str, value: str) -> Literal["method", "headers"] | None:
    said = compact(name)
    if any(known in said for known in _METHOD_NAMES):
        return "method"
    if said.endswith(_HEADER_NAMES):
        return "headers"
    is_about_methods = said.endswith(("method", "verb")) and said != _OF_CORS
    return "method" if is_about_methods and decoded(value).strip().upper() in _METHODS else None
