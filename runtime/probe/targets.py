"""Which addresses a case aims at, and the rule that none is attacked that the probe does not own. Pure."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from runtime.canary.client import CanaryError
from runtime.canary.net.ground import IPAddress

_IPV4 = re.compile(r"(?<![\w.:-])(\d+(?:\.\d+){3})(?![\w-]|\.\w)")
_IPV6 = re.compile(r"\[([0-9a-fA-F:.]*:[0-9a-fA-F:.]*)(?:%[^\]]*)?\]")
_AUTHORITY = re.compile(r"(?:^|CONNECT |://|[Hh]ost: |@)([0-9a-fA-FxX.]+)(?=[:/?#\s]|$)")
"""Where a number alone (`2130706433`, `0x7f000001`, `0177.1`) is read as an address, too."""
_STAYS_HERE = tuple(
    ipaddress.ip_network(text)
    for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/24", "255.255.255.255/32", "::/127")
)
"""What no machine sends on: itself, the groups and the broadcast of its link (RFC 1122, 5771, 4291)."""


def addresses_in(value: Any) -> frozenset[str]:
    """Every address that these arguments name, in any spelling, but what never leaves a link."""
    found = (address for text in _texts(value) for address in _named(text))
    return frozenset(str(address) for address in found if not _stays_here(address))


def require_owned(aims: Mapping[str, Any], owned: Collection[str]) -> None:
    """Refuse to attack unless every address belongs to the probe: a CanaryError names case and address.

    `aims` are the arguments of each case by its id, and what the name server answers, by name.
    """
    strange = {name: sorted(addresses_in(value) - set(owned)) for name, value in aims.items()}
    if said := [f"{name} ({', '.join(found)})" for name, found in strange.items() if found]:
        raise CanaryError(f"no attack: it would aim at what the probe does not own: {'; '.join(said)}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)


def _named(text: str) -> Iterator[IPAddress]:
    for spelled in (*_IPV4.findall(text), *_AUTHORITY.findall(text)):
        try:
            yield ipaddress.IPv4Address(socket.inet_aton(spelled))
        except OSError:
            continue
    bare = [text] if ":" in text else []
    for spelled in (*_IPV6.findall(text), *bare):
        try:
            address = ipaddress.IPv6Address(spelled)
        except ValueError:
            continue
        yield address.ipv4_mapped or address


def _stays_here(address: IPAddress) -> bool:
    return any(address in network for network in _STAYS_HERE)
