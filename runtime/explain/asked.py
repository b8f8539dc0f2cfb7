"""One exact request, as a client in a sandbox sends it to the proxy: the heads that its URL becomes. Pure.

read_request("GET", "https://api.test/v1/x?y=1", [("Accept", "*/*")], b"")
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from runtime.errors import InvalidInputError

_URL = re.compile(r"(https?)://([^/?#]+)([^?#]*)(\?[^#]*)?(#.*)?", re.IGNORECASE)
_METHOD = re.compile(r"[!-~]{1,64}")
_WRITE_OUT = "write it out, as in https://api.openai.com/v1/models"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request; what of it may be a secret is never shown."""

    method: str
    scheme: Literal["http", "https"]
    authority: str = field(repr=False)
    """As it stands in the URL: nothing of it is decoded, folded or completed."""
    target: str = field(repr=False)
    """Path and query, also as they stand there."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def tunnel_authority(self) -> str:
        """What a client asks a tunnel to: with a port always."""
        rest = self.authority.partition("]")[2] if self.authority.startswith("[") else self.authority
        return self.authority if ":" in rest else f"{self.authority}:443"

    @property
    def tunnel_head(self) -> bytes:
        """The CONNECT that comes first where the URL is https."""
        named = self.tunnel_authority
        return f"CONNECT {named} HTTP/1.1\r\nHost: {named}\r\n\r\n".encode()

    @property
    def request_head(self) -> bytes:
        """The request's own head: in the tunnel, or to the proxy itself in absolute form."""
        place = f"http://{self.authority}" if self.scheme == "http" else ""
        head = f"{self.method} {place}{self.target} HTTP/1.1\r\n".encode()
        return head + b"".join(b"%s: %s\r\n" % field for field in self.fields) + b"\r\n"

    @property
    def fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers, with those that each client adds where they are not given."""
        given = {name.lower() for name, _ in self.headers}
        fields = [(name.encode(), value.encode()) for name, value in self.headers]
        if "host" not in given:
            fields.insert(0, (b"Host", self.authority.encode()))
        if self.body and given.isdisjoint({"content-length", "transfer-encoding"}):
            fields.append((b"Content-Length", str(len(self.body)).encode()))
        return tuple(fields)


def read_request(method: str, url: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Asked:
    """Read what was asked about.

    Raises InvalidInputError, which repeats nothing of it, for what is no request at all. What the proxy would
    refuse is no error: a name in any spelling, a path in any.
    """
    if not url.isascii() or any(not "!" <= char <= "~" for char in url):
        raise InvalidInputError("the URL has a space, a control character or one that is not ASCII")
    found = _URL.fullmatch(url)
    try:
        urlsplit(url)
    except ValueError:  # a bracket that is not closed, and the like
        found = None
    if found is None:
        raise InvalidInputError("not an http(s) URL", hint=_WRITE_OUT)
    fields = tuple((name, value.strip(" \t")) for name, value in headers)
    if not all(_is_one_line(text) for field in fields for text in field):
        raise InvalidInputError("a header has a line break, a NUL or half a character", hint="one at a time")
    if not _METHOD.fullmatch(method):
        raise InvalidInputError("the method is empty, too long or not of ASCII", hint="GET, POST, ...")
    return Asked(
        method=method,
        scheme="https" if found[1].lower() == "https" else "http",
        authority=found[2],
        target=(found[3] or "/") + (found[4] or ""),
        headers=fields,
        body=body,
    )


def _is_one_line(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return not any(char in "\r\n\0" for char in text)


def shown_url(asked: Asked) -> str:
    """The URL without what may be a secret in it: the query, and whatever stands before an `@`."""
    authority = asked.authority.rpartition("@")[2]
    path, mark, _ = asked.target.partition("?")
    return f"{asked.scheme}://{authority}{path}{mark and '?...'}"
