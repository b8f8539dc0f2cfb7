"""Who a client says it is on the explicit port: the user and password of its proxy URL (RFC 7617). Pure."""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

EXPLAIN_USER = "explain"
"""Proxy user name by which a client asks for refusals it can read: a refused CONNECT to port 443 is then
ended here in TLS and answered with the 403, since clients drop the body of a failed CONNECT."""


class ProxyUser(NamedTuple):
    """Name and password of a `Proxy-Authorization: Basic` header."""

    name: str
    password: str


def parse_proxy_authorization(value: str | None) -> ProxyUser | None:
    """Read the header (RFC 7617); None where it is absent or is anything else than Basic."""
    scheme, _, encoded = (value or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return ProxyUser(name, password) if colon else None
