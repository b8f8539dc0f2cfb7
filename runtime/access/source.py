"""Whom an address stands for, where what comes from it is counted. Pure."""

from __future__ import annotations

import ipaddress

_PREFIX = 64
"""What one customer or one host of IPv6 has at the least: it may use every address in there."""


def source_of(peer: str) -> str:
    """An address of IPv4, in whatever form it is written, or the network of one of IPv6."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((address, _PREFIX), strict=False))
        return str(address.ipv4_mapped)
    return str(address)
