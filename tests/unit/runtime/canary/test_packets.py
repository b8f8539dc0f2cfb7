"""runtime.canary.packets."""

from __future__ import annotations

import socket
import struct

import pytest

from runtime.canary.packets import parse_ip


def _packet(protocol: int, rest: bytes) -> bytes:
    addresses = socket.inet_aton("10.0.0.1") + socket.inet_aton("203.0.113.66")
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(rest), 0, 0, 64, protocol, 0) + addresses + rest


def _tcp(flags: int) -> bytes:
    return struct.pack("!HHIIBBHHH", 1234, 443, 0, 0, 0x50, flags, 0, 0, 0)


@pytest.mark.parametrize(("flags", "is_attempt"), [(0x02, True), (0x12, False), (0x10, False), (0xC2, True)])
def test_only_a_syn_is_an_attempt(flags: int, is_attempt: bool) -> None:
    """The packets after a connection's first are not counted again."""
    seen = parse_ip(_packet(6, _tcp(flags)))
    assert seen is not None
    assert (seen.protocol, seen.address, seen.port, seen.is_attempt) == (
        "tcp",
        "203.0.113.66",
        443,
        is_attempt,
    )


def test_udp_and_icmp_count_each_time() -> None:
    """Every datagram and every ping is one attempt; an unknown protocol is named by its number."""
    udp = parse_ip(_packet(17, struct.pack("!HHHH", 9, 53, 8, 0)))
    assert udp is not None
    assert (udp.protocol, udp.port, udp.is_attempt) == ("udp", 53, True)
    assert [getattr(parse_ip(_packet(n, b"")), "protocol", None) for n in (1, 253)] == ["icmp", "ip-253"]


@pytest.mark.parametrize("data", [b"", b"\x60" + bytes(38), bytes(20)])
def test_what_is_no_packet_is_left_out(data: bytes) -> None:
    """ARP, rubbish and what is cut off are not parsed."""
    assert parse_ip(data) is None


def test_ipv6_is_read() -> None:
    """A packet that an IPv6 route led to the canary is seen, though the canary has no IPv6."""
    ends = socket.inet_pton(socket.AF_INET6, "fd00::1") + socket.inet_pton(socket.AF_INET6, "fd00:ec2::254")
    seen = parse_ip(struct.pack("!IHBB", 6 << 28, 20, 6, 64) + ends + _tcp(0x02))
    assert seen is not None
    assert (seen.protocol, seen.source, seen.address, seen.port) == ("tcp", "fd00::1", "fd00:ec2::254", 443)
    assert parse_ip(b"\x60") is None
