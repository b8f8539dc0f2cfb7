"""Which addresses the canaries take: an unused documentation range, and what else is asked for. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from runtime.canary.client import CanaryError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

RANGES = ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "198.19.255.0/24")
"""The documentation ranges (RFC 5737) and a piece of the benchmarks' (RFC 2544): nobody's on the internet."""
METADATA = "169.254.169.254"
"""Where clouds keep their metadata; an attack's target that cannot be moved."""
_FIRST_CASE = 100
_TRIES = 64
"""Addresses that are tried in a network, spread over all of it: engines take whole pieces of private ones."""


@dataclass(frozen=True, slots=True)
class HostUse:
    """What the host has in use: each network or address with the words that say by what."""

    networks: Mapping[IPNetwork, str] = field(default_factory=dict)
    """Of its own interfaces and of its routes, without the default ones."""
    addresses: Mapping[IPAddress, str] = field(default_factory=dict)
    """Of its resolvers, neighbours and package mirrors, and of the ends of its connections."""

    def claims(self, text: str) -> list[str]:
        """What on the host overlaps this network or address."""
        wanted = ipaddress.ip_network(text)
        return [
            *(said for network, said in self.networks.items() if _overlap(network, wanted)),
            *(said for address, said in self.addresses.items() if address in wanted),
        ]

    def holds_exactly(self, text: str) -> list[str]:
        """What on the host names this very address; a wider route to it does not count."""
        wanted = ipaddress.ip_network(text)
        exact = [said for network, said in self.networks.items() if network == wanted]
        return exact + [said for address, said in self.addresses.items() if address in wanted]


@dataclass(frozen=True, slots=True)
class Ground:
    """One range, and who has which address of it. Only the addresses named here are ever routed."""

    network: ipaddress.IPv4Network

    @property
    def gateway(self) -> str:
        """The host's end of the link; a container's packet that the host rewrites comes from here."""
        return str(self.network[1])

    @property
    def host(self) -> str:
        """What the host's own processes send from, so that they are told from every container."""
        return str(self.network[2])

    @property
    def upstream(self) -> str:
        """The address of the simulated upstreams."""
        return str(self.network[10])

    @property
    def dns(self) -> str:
        """The address of the name server."""
        return str(self.network[53])

    @property
    def public(self) -> str:
        """The "public" canary, which answers anybody on many ports."""
        return str(self.network[66])

    @property
    def canaries(self) -> tuple[str, ...]:
        """The addresses at which something listens, the upstreams' first."""
        return (self.upstream, self.dns, self.public, METADATA)

    def case(self, number: int) -> str:
        """The address that belongs to one case. Raises ValueError when there are too many."""
        if number > 254 - _FIRST_CASE:
            raise ValueError("more cases with an address of their own than there are addresses")
        return str(self.network[_FIRST_CASE + number])


def choose(use: HostUse) -> Ground:
    """The first range that nothing on the host uses. Raises CanaryError that names what uses each."""
    found = {text: use.claims(text) for text in RANGES}
    if taken := use.claims(METADATA):
        raise CanaryError(f"the canaries need {METADATA}, which the host has in use: {'; '.join(taken)}")
    free = next((text for text, claims in found.items() if not claims), None)
    if free is None:
        said = "; ".join(f"{text}: {', '.join(claims)}" for text, claims in found.items())
        raise CanaryError(f"the canaries need one range that the host does not use, and it uses all: {said}")
    return Ground(ipaddress.IPv4Network(free))


def stand_in(use: HostUse, wanted: str) -> str:
    """An exact address for an address or a whole network that an attack aims at.

    A network is stood for by one of its addresses that the host does not use. Raises CanaryError where the
    host uses the address, or every one that was tried.
    """
    network = ipaddress.ip_network(wanted)
    if isinstance(network, ipaddress.IPv6Network):
        if found := use.holds_exactly(wanted):
            raise _taken(wanted, found)
        return str(network[0])
    tried: Sequence[IPAddress] = [network[0]]
    if network.num_addresses > 1:
        step = max(1, network.num_addresses // _TRIES)
        tried = [network[-2 - step * number] for number in range(min(_TRIES, network.num_addresses - 1))]
    free = next((address for address in tried if not use.claims(str(address))), None)
    if free is None:
        raise _taken(wanted, use.claims(wanted))
    return str(free)


def _taken(wanted: str, found: Sequence[str]) -> CanaryError:
    return CanaryError(f"the canaries need {wanted}, which the host has in use: {'; '.join(found)}")


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    if isinstance(one, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and one.overlaps(other)
    return isinstance(other, ipaddress.IPv6Network) and one.overlaps(other)
