"""Host names: the only place that parses one.

A name has one spelling from here on: lower-case ASCII, no final dot. Whatever a resolver, a URL parser
or a proxy might read in two ways is refused (attacks.md N-01..N-50, A-05..A-08): nothing is decoded,
folded or trimmed on the way in.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

MAX_NAME_CHARS = 253
MAX_PORT = 65535
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_PORT = re.compile(r":[1-9][0-9]{0,4}")
_NUMERIC_LABEL = re.compile(r"(0x[0-9a-f]*|[0-9]+)")


class BadHostError(ValueError):
    """Not a host name that means one thing only; the text says what is wrong, not the name."""


def normalize_host(raw: str | bytes) -> str:
    """The one spelling of a host name or of an IP literal (IPv6 without brackets).

    >>> normalize_host("OK.Test.")
    'ok.test'

    Raises BadHostError. Names follow RFC 1123 with underscores; a name whose last label is numeric is
    refused, since glibc reads it as an address (inet_aton) while others do not.
    """
    try:
        text = raw.decode("ascii") if isinstance(raw, bytes) else raw
        text.encode("ascii")
    except UnicodeError:
        raise BadHostError(
            "a character that is not ASCII (a name in another script is written as xn--...)"
        ) from None
    if any(not 0x21 <= ord(char) <= 0x7E for char in text):
        raise BadHostError("a control character or a space")
    if text.startswith("[") or ":" in text:
        return _normalize_ipv6(text)
    name = text.lower().removesuffix(".")
    if not name:
        raise BadHostError("an empty name")
    if len(name) > MAX_NAME_CHARS:
        raise BadHostError("a name longer than 253 characters")
    labels = name.split(".")
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise BadHostError("a label that is empty, too long or has a character outside a-z, 0-9, - and _")
        if label.startswith("xn--"):
            _check_a_label(label)
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        return _normalize_ipv4(name, text)
    return name


def _normalize_ipv4(name: str, text: str) -> str:
    try:
        address = ipaddress.IPv4Address(name)
    except ValueError:
        raise BadHostError("a numeric name that is not a dotted IPv4 address") from None
    if text != str(address):
        raise BadHostError("an IPv4 address in another spelling than its dotted one")
    return str(address)


def _normalize_ipv6(text: str) -> str:
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if "%" in inner:
        raise BadHostError("an IPv6 zone")
    try:
        address = ipaddress.IPv6Address(inner)
    except ValueError:
        raise BadHostError("a colon or bracket outside an IPv6 address") from None
    if address.ipv4_mapped is not None:  # Python 3.13 prints these otherwise than 3.12 does
        return f"::ffff:{int(address) >> 16 & 0xFFFF:x}:{int(address) & 0xFFFF:x}"
    return str(address)


def _check_a_label(label: str) -> None:
    try:
        decoded = label[4:].encode("ascii").decode("punycode")
        again = decoded.encode("punycode").decode("ascii")
    except (UnicodeError, OverflowError, ValueError):
        raise BadHostError("an xn-- label that is no punycode") from None
    if again != label[4:]:
        raise BadHostError("an xn-- label that is no punycode")


def split_authority(text: str, *, default_port: int) -> tuple[str, int]:
    """The normalised host and the port of `host`, `host:port` or `[IPv6]:port`. Raises BadHostError."""
    if text.startswith("["):
        name, bracket, rest = text.partition("]")
        name += bracket
    else:
        name, colon, rest = text.partition(":")
        rest = colon + rest
    host = normalize_host(name)
    if not rest:
        return host, default_port
    if not _PORT.fullmatch(rest) or int(rest[1:]) > MAX_PORT:
        raise BadHostError("a port that is not a number from 1 to 65535")
    return host, int(rest[1:])


def is_ip_literal(host: str) -> bool:
    """Whether a normalised host is an address."""
    return ":" in host or host.rpartition(".")[2].isdigit()


@dataclass(frozen=True, slots=True)
class HostPattern:
    """An exact host, or `*.example.com`: its subdomains at any depth, never the apex."""

    suffix: str
    is_wildcard: bool = False

    @classmethod
    def parse(cls, text: str) -> HostPattern:
        """Read a rule's host. Raises BadHostError with the form that would be right."""
        is_wildcard = text.startswith("*.")
        rest = text[2:] if is_wildcard else text
        if "*" in rest:
            raise BadHostError("a wildcard stands alone as the first label, as in *.example.com")
        host = normalize_host(rest)
        if host != rest:
            raise BadHostError(f"write it as {host}")
        if is_wildcard and (is_ip_literal(host) or "." not in host or _is_registry_suffix(host)):
            raise BadHostError("a wildcard needs a registrable domain behind it, as in *.example.com")
        return cls(host, is_wildcard)

    def matches(self, host: str) -> bool:
        """Whether a normalised host is meant."""
        if self.is_wildcard:
            return host.endswith("." + self.suffix) and not is_ip_literal(host)
        return host == self.suffix

    def __str__(self) -> str:
        return f"*.{self.suffix}" if self.is_wildcard else self.suffix


def _is_registry_suffix(host: str) -> bool:
    """Whether it looks like co.uk: a wildcard there would span strangers.

    Not the whole Public Suffix List; the reviewer of a policy is the other guard.
    """
    second, _, country = host.partition(".")
    return len(country) == 2 and second in _REGISTRY_SECOND_LEVELS


_REGISTRY_SECOND_LEVELS = frozenset(
    {"ac", "co", "com", "edu", "gob", "gov", "go", "ltd", "me", "mil", "ne", "net", "nom", "or", "org"}
)
