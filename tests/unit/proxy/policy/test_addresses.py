"""Addresses: every special range of attacks.md 2.1 and every metadata endpoint of 2.3, by table."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.addresses import AddressClass, classify

SPECIAL, METADATA, PUBLIC = AddressClass.SPECIAL, AddressClass.METADATA, AddressClass.PUBLIC

SPECIAL_RANGES = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24
203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 255.255.255.255/32
::/128 ::1/128 ::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23
2001::/32 2001:1::1/128 2001:2::/48 2001:3::/32 2001:4:112::/48 2001:10::/28 2001:20::/28 2001:30::/28
2001:db8::/32 3fff::/20 2002::/16 2620:4f:8000::/48 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8
"""
NEIGHBOURS = """
1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255
169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.31.195.255 192.31.197.0
192.52.192.255 192.52.194.0 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 192.175.47.255
192.175.49.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0
223.255.255.255 168.63.129.15 168.63.129.17 2000:: 2001:200:: 2001:db7:ffff::1 2001:db9:: 2003::
2620:4f:7fff::1 2620:4f:8001:: 3ffe:ffff::1 3fff:1000:: 3fff:ffff::1
"""
GLOBAL_TO_PYTHON = """
168.63.129.16 192.88.99.1 224.0.0.1 ::7f00:1 ::ffff:0:10.0.0.1 64:ff9b::a00:1 100:0:0:1::1 3fff::1 5f00::1
fec0::1 2620:4f:8000::1 192.0.0.192 192.0.0.8 64:ff9b:1::a00:1 2002:a00:1::1 100.64.0.1
"""
METADATA_ENDPOINTS = """
169.254.169.254 169.254.169.253 169.254.169.123 169.254.170.2 169.254.170.23 169.254.42.42 169.254.0.23
169.254.129.1 169.254.130.255 168.63.129.16 192.0.0.192 100.100.100.200 192.168.65.7
fd00:ec2::254 fd00:ec2::253 fd00:ec2::23 fd20:ce::254 fd00:c1::a9fe:a9fe fd00:42::42
fe80::a9fe:a9fe fe80::a9fe:a9fe%eth0
"""


@pytest.mark.parametrize("cidr", SPECIAL_RANGES.split())
def test_first_last_and_middle_of_every_special_range_are_not_public(cidr: str) -> None:
    """No address of the deny table is public (A-01)."""
    network = ipaddress.ip_network(cidr)
    for address in (network[0], network[network.num_addresses // 2], network[-1]):
        assert classify(address) is not PUBLIC, address


@pytest.mark.parametrize("text", NEIGHBOURS.split())
def test_the_neighbours_of_special_ranges_are_public(text: str) -> None:
    """Nothing is blocked beyond the table (A-02)."""
    assert classify(text) is PUBLIC


@pytest.mark.parametrize("text", METADATA_ENDPOINTS.split())
def test_every_metadata_endpoint_is_known_as_such(text: str) -> None:
    """Metadata is a class of its own, so that no exception for private ranges opens it (A-04)."""
    assert classify(text) is METADATA


EMBEDDED = {
    "mapped": "::ffff:{}",
    "IPv4-compatible": "::{}",
    "translated": "::ffff:0:{}",
    "NAT64": "64:ff9b::{}",
    "NAT64 local use": "64:ff9b:1::{}",
    "ISATAP": "fe80::5efe:{}",
    "ISATAP with the universal bit": "fe80::200:5efe:{}",
    "ISATAP under a global prefix": "2a00:1450::5efe:{}",
}


@pytest.mark.parametrize("form", EMBEDDED.values(), ids=EMBEDDED.keys())
@pytest.mark.parametrize(
    ("ipv4", "expected"), [("127.0.0.1", SPECIAL), ("169.254.169.254", METADATA), ("93.184.216.34", SPECIAL)]
)
def test_ipv4_inside_ipv6_is_never_public(form: str, ipv4: str, expected: AddressClass) -> None:
    """Whatever carries an IPv4 address is refused, a public one too; metadata keeps its name (A-03)."""
    assert expected == classify(form.format(ipv4))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2002:7f00:1::", SPECIAL),
        ("2002:a9fe:a9fe::1", METADATA),
        ("2002:5db8:d822::1", SPECIAL),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", SPECIAL),
        ("2001:0:4136:e378:8000:63bf:5601:5601", METADATA),
    ],
    ids=["6to4 of loopback", "6to4 of metadata", "6to4 of a public one", "Teredo", "Teredo of metadata"],
)
def test_tunnelled_ipv4_is_never_public(text: str, expected: AddressClass) -> None:
    """6to4 and Teredo addresses are unwrapped to name metadata, and are special otherwise (A-03)."""
    assert expected == classify(text)


@pytest.mark.parametrize("text", GLOBAL_TO_PYTHON.split())
def test_what_python_calls_global_is_still_not_public(text: str) -> None:
    """The addresses that `is_global` or `not is_private` let through are refused (attacks.md 2.2)."""
    assert classify(text) is not PUBLIC


def test_a_zone_makes_an_address_special() -> None:
    """A scoped address names an interface of ours, never the internet."""
    assert classify("2606:2800:220:1::1%eth0") is SPECIAL


def test_what_is_no_address_is_an_error() -> None:
    """Text that is not an address is not classified at all."""
    with pytest.raises(ValueError, match="does not appear to be"):
        classify("ok.test")


@given(st.ip_addresses(v=6))
def test_public_ipv6_lies_within_global_unicast(address: ipaddress.IPv6Address) -> None:
    """Outside 2000::/3 nothing is public, whatever registries come to hold."""
    if classify(address) is PUBLIC:
        assert address in ipaddress.ip_network("2000::/3")


@given(st.ip_addresses(v=4))
def test_public_ipv4_is_public_to_python_too(address: ipaddress.IPv4Address) -> None:
    """The table is never laxer than `is_global`; it is only stricter."""
    if classify(address) is PUBLIC:
        assert address.is_global
