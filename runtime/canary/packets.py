"""The packet watch: every packet that reaches the canary's interface, listened for or not."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass

from runtime.canary.seen import Packet
from runtime.canary.world import World

_ETH_P_ALL = 3
_PACKET_OUTGOING = 4
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}
_LINK_GROUPS = "ff02:"
"""Groups of an IPv6 link: the host itself reports to them, and nothing sends them on."""
_LIMIT = 10_000
"""Packets kept; a flood must not eat the simulator's memory."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The parts of an IP header that name a packet."""

    protocol: str
    source: str
    address: str
    port: int
    is_attempt: bool
    """False for the packets of a TCP connection after its SYN."""


def parse_ip(data: bytes) -> Seen | None:
    """Read an IPv4 or IPv6 packet; None for anything else."""
    if len(data) >= 20 and data[0] >> 4 == 4:
        source, address = (socket.inet_ntop(socket.AF_INET, data[at : at + 4]) for at in (12, 16))
        return _seen(data[9], data[(data[0] & 15) * 4 :], source, address)
    if len(data) >= 40 and data[0] >> 4 == 6:
        source, address = (socket.inet_ntop(socket.AF_INET6, data[at : at + 16]) for at in (8, 24))
        return _seen(data[6], data[40:], source, address)
    return None


def _seen(number: int, payload: bytes, source: str, address: str) -> Seen:
    port, is_attempt = 0, True
    if number in {6, 17} and len(payload) >= 4:
        (port,) = struct.unpack_from("!H", payload, 2)
    if number == 6 and len(payload) >= 14:
        is_attempt = payload[13] & 0x12 == 0x02  # SYN without ACK
    return Seen(_PROTOCOLS.get(number, f"ip-{number}"), source, address, port, is_attempt)


def watch_packets(world: World, interface: str) -> socket.socket:
    """Record what arrives on an interface, also one that appears later. Needs CAP_NET_RAW."""
    watcher = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    watcher.setblocking(False)  # noqa: FBT003 - the standard library's own signature

    def read() -> None:
        while True:
            try:
                data, origin = watcher.recvfrom(128)
            except BlockingIOError:
                return
            seen = parse_ip(data) if origin[0] == interface and origin[2] != _PACKET_OUTGOING else None
            if seen is None or not seen.is_attempt or seen.address.startswith(_LINK_GROUPS):
                continue
            if len(world.seen.packets) < _LIMIT:
                packet = Packet(world.now(), seen.protocol, seen.source, seen.address, seen.port)
                world.seen.packets.append(packet)

    asyncio.get_running_loop().add_reader(watcher, read)
    return watcher
