"""A passive watch on the machine's real interfaces and loopback: whether anything left by them.

The canaries see what is sent to their addresses. A name asked through the engine's resolver goes to the
host's own name servers instead: this watch looks for the marker that every attempt carries.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from types import TracebackType
from typing import Self

from runtime.canary.packets import parse_ip

_ETH_P_ALL = 3


class UplinkWatch:
    """Counts packets on `interfaces` that hold the marker or go to one of `networks`. Needs root."""

    def __init__(
        self, marker: str, networks: tuple[str, ...], *, interfaces: frozenset[str] | None = None
    ) -> None:
        self._marker = marker.encode()
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._interfaces = interfaces
        self.sightings: list[str] = []
        self.has_watched = False
        self._is_ending = False

    def __enter__(self) -> Self:
        """Start to watch; without the right to, `has_watched` stays False."""
        self._names = self._interfaces or default_interfaces() | {"lo"}
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
        except PermissionError:
            return self
        self._socket.settimeout(0.2)
        self.has_watched = True
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching."""
        if self.has_watched:
            self._is_ending = True
            self._thread.join(timeout=5)
            self._socket.close()

    def _read(self) -> None:
        while not self._is_ending:
            try:
                data, origin = self._socket.recvfrom(65536)
            except TimeoutError:
                continue
            if origin[0] in self._names:
                self._judge(data, origin[0])

    def _judge(self, data: bytes, interface: str) -> None:
        seen = parse_ip(data)
        address = ipaddress.ip_address(seen.address) if seen else None
        if self._marker in data:
            self.sightings.append(f"{interface}: a packet with the marker, to {seen and seen.address}")
        elif address is not None and any(address in network for network in self._networks):
            self.sightings.append(f"{interface}: a packet to {address}")


def default_interfaces() -> frozenset[str]:
    """The interfaces of the default routes, read without iproute2."""
    with open("/proc/net/route", encoding="ascii") as table:  # noqa: PTH123  a kernel file
        rows = [line.split() for line in table][1:]
    return frozenset(row[0] for row in rows if row[1] == "00000000")
