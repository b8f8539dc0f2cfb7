"""Which addresses may be dialled: explicit tables, never `ipaddress.is_global`.

Sources: the IANA special-purpose address registries (RFC 6890 and updates), RFC 4291, RFC 6052, and the
metadata endpoints that cloud providers document. `is_global` differs between Python releases and calls
multicast, the Azure wire server and IPv4-compatible addresses global.
"""

from __future__ import annotations

import enum
import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressClass(enum.StrEnum):
    """SPECIAL comes first: what no table knows as public is not public."""

    SPECIAL = "special"
    """Private, loopback, link-local, multicast, documentation and every other reserved range."""
    METADATA = "metadata"
    """A cloud's instance metadata or control endpoint: never dialled, whatever is configured."""
    PUBLIC = "public"


_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, GCP, Azure, Oracle, DigitalOcean, Hetzner, OpenStack, IBM
        "169.254.169.253",  # AWS VPC DNS
        "169.254.169.123",  # AWS NTP
        "169.254.170.2",  # AWS ECS task credentials
        "169.254.170.23",  # AWS EKS pod identity
        "169.254.42.42",  # Scaleway
        "169.254.0.23",  # Tencent
        "168.63.129.16",  # Azure wire server: a public address
        "192.0.0.192",  # Oracle
        "100.100.100.200",  # Alibaba
        "192.168.65.7",  # Docker Desktop's engine (CVE-2025-9074)
        "fd00:ec2::254",
        "fd00:ec2::253",
        "fd00:ec2::23",
        "fd20:ce::254",  # GCP
        "fd00:c1::a9fe:a9fe",  # Oracle
        "fd00:42::42",  # Scaleway
        "fe80::a9fe:a9fe",  # OpenStack
    )
)
_METADATA_NETWORKS = tuple(ipaddress.IPv4Network(text) for text in ("169.254.129.0/24", "169.254.130.0/24"))
"""Azure App Service's identity endpoints."""

SPECIAL_IPV4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "168.63.129.16/32",
    )
)
GLOBAL_UNICAST_IPV6 = ipaddress.IPv6Network("2000::/3")
SPECIAL_IPV6 = tuple(
    ipaddress.IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
"""Within 2000::/3; all outside it (mapped, translated, NAT64, ULA, link-local, multicast) is special."""


def classify(address: str | Address) -> AddressClass:
    """The class of an address. Raises ValueError for what is none.

    IPv4 inside IPv6 is unwrapped only to name metadata as such: no IPv6 form of an IPv4 address
    (mapped, translated, NAT64, 6to4, Teredo, ISATAP) is ever public.
    """
    if isinstance(address, str):
        address = ipaddress.ip_address(address)
    if _is_metadata(address):
        return AddressClass.METADATA
    if isinstance(address, ipaddress.IPv4Address):
        is_special = any(address in network for network in SPECIAL_IPV4)
    else:
        embedded = _embedded_ipv4(address)
        if embedded is not None and _is_metadata(embedded):
            return AddressClass.METADATA
        outside = address not in GLOBAL_UNICAST_IPV6 or address.scope_id is not None
        is_special = outside or embedded is not None or any(address in network for network in SPECIAL_IPV6)
    return AddressClass.SPECIAL if is_special else AddressClass.PUBLIC


def _is_metadata(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        return ipaddress.IPv6Address(address.packed) in _METADATA  # without its zone
    return address in _METADATA or any(address in network for network in _METADATA_NETWORKS)


def _embedded_ipv4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    packed = address.packed
    if packed[:12] in _LAST_32_BITS or packed[8:12] in {b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe"}:  # ISATAP
        return ipaddress.IPv4Address(packed[12:])
    if packed[:2] == b"\x20\x02":  # 6to4, RFC 3056
        return ipaddress.IPv4Address(packed[2:6])
    if packed[:4] == b"\x20\x01\x00\x00":  # Teredo, RFC 4380: the client's address, inverted
        return ipaddress.IPv4Address(bytes(byte ^ 0xFF for byte in packed[12:]))
    return None


_LAST_32_BITS = {
    bytes(12),  # IPv4-compatible
    bytes(10) + b"\xff\xff",  # mapped
    bytes(8) + b"\xff\xff\x00\x00",  # translated (SIIT)
    b"\x00\x64\xff\x9b" + bytes(8),  # NAT64
    b"\x00\x64\xff\x9b\x00\x01" + bytes(6),  # NAT64 local use
}
