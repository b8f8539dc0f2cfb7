"""Joining a canary's network namespace to the host, with iproute2: the commands and what they say. Pure."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from runtime.canary.client import CanaryError
from runtime.canary.net.ground import Ground, HostUse, IPAddress, IPNetwork

Rows = list[dict[str, Any]]
INSIDE = "canary0"
"""The canary's end of the link."""
_MAC = "02:00:5e:00:53:01"
_MARK = "--"
LOOK = f"\necho {_MARK}\n".join(
    [
        "ip -j addr",
        "ip -j -4 route show table all",
        "ip -j -6 route show table all || true",
        "ip -j neigh",
        "cat /proc/net/tcp /proc/net/udp",
    ]
)
"""Prints what `host_use` reads, in the host's network namespace."""
_OPEN = ("01", "02")
"""Established, and being opened (the kernel's tcp_states.h): what has ended needs no way any more."""
_NO_WAY = ("unreachable", "No route to host", "Permission denied", "Operation not supported")
"""What `ip route get` says where the host can send nothing to an address at all."""


def links_of(said: str) -> Rows:
    """The host's interfaces with their addresses."""
    return _rows(said.split(_MARK, maxsplit=1)[0])


def routes_of(said: str) -> Rows:
    """Read the host's IPv4 routes."""
    return _rows(said.split(_MARK)[1])


def host_use(said: str, others: Iterable[tuple[str, str]] = ()) -> HostUse:
    """What the output of `LOOK` shows to be in use, and `others`: addresses with the words for each."""
    addresses, routes4, routes6, neighbours, sockets = said.split(_MARK)
    networks: dict[IPNetwork, str] = {}
    for link in _rows(addresses):
        for entry in link.get("addr_info", []):
            held = f"{entry['local']}/{entry['prefixlen']}"
            networks[ipaddress.ip_network(held, strict=False)] = f"address {held} on {link['ifname']}"
    for route in (*_rows(routes4), *_rows(routes6)):
        if route["dst"] == "default" or route.get("table") == "local":
            continue
        network = ipaddress.ip_network(route["dst"], strict=False)
        if network.prefixlen:
            networks.setdefault(network, f"route {route['dst']} dev {route.get('dev', '-')}")
    found: dict[IPAddress, str] = {
        ipaddress.ip_address(row["dst"]): f"neighbour {row['dst']}"
        for row in _rows(neighbours)
        if "dst" in row
    }
    found |= {address: f"a connection to {address}" for address in _peers(sockets)}
    found |= {ipaddress.ip_address(address): words for address, words in others}
    return HostUse(networks, found)


def join_script(ground: Ground, *, link: str, pid: int) -> str:
    """The host's part: a link whose other end is in the namespace of `pid`, and the host's two addresses.

    The gateway's address comes first: the engine's rewriting of a container's packets takes that one.
    """
    return "\n".join(
        [
            f"ip link add {link} type veth peer name {INSIDE} address {_MAC} netns {pid}",
            f"ip link set dev {link} addrgenmode none",
            f"ip link set dev {link} up",
            f"ip addr add {ground.gateway}/32 dev {link}",
            f"ip addr add {ground.host}/32 dev {link}",
        ]
    )


def inside_script(ground: Ground) -> str:
    """The canary's part, in its own network namespace."""
    return "\n".join(
        [
            "ip link set dev lo up",
            f"ip link set dev {INSIDE} addrgenmode none",
            f"ip link set dev {INSIDE} up",
            *(f"ip addr add {address}/32 dev {INSIDE}" for address in ground.canaries),
            f"ip route add {ground.gateway} dev {INSIDE} src {ground.upstream}",
            f"ip route add default via {ground.gateway}",
        ]
    )


def lead_script(ground: Ground, addresses: Sequence[str], *, link: str) -> str:
    """Lead exact addresses to the canary, then say where the host would send to each."""
    lines = []
    for text in addresses:
        if ":" in text:
            # The canary has no IPv6 and answers nobody who asks for it; its packet watch sees what comes.
            lines.append(f"ip -6 route add {text}/128 dev {link} 2>/dev/null || true")
            lines.append(f"ip -6 neigh add {text} lladdr {_MAC} dev {link} nud permanent 2>/dev/null || true")
        elif text == ground.upstream:
            lines.append(f"ip route add {text}/32 dev {link} src {ground.host}")
        else:
            # By way of a neighbour that answers: an address that nobody has must still be delivered.
            lines.append(f"ip route add {text}/32 via {ground.upstream} dev {link} src {ground.host}")
    asked = [f"ip -j {'-6' if ':' in text else '-4'} route get {text} 2>&1 || true" for text in addresses]
    return "\n".join([*lines, f"\necho {_MARK}\n".join(asked)])


def require_led(said: str, addresses: Sequence[str], *, link: str) -> None:
    """Every address leads to the canary, or (IPv6 where there is none) nowhere. Raises CanaryError."""
    for address, text in zip(addresses, said.split(_MARK), strict=True):
        if ":" in address and any(words in text for words in _NO_WAY):
            continue
        try:
            device = _rows(text)[0]["dev"]
        except (ValueError, LookupError):
            raise CanaryError(
                f"whether {address} leads to the canary is not known: {text.strip()[:200]}"
            ) from None
        if device != link:
            raise CanaryError(f"{address} would leave by {device}, not by the canary's {link}")


def _rows(text: str) -> Rows:
    return list(json.loads(text.strip() or "[]"))


def _peers(text: str) -> Iterator[IPAddress]:
    """The far ends in /proc/net/tcp and udp, printed as numbers of the machine's byte order."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[0].endswith(":") and fields[3] in _OPEN:
            number = bytes.fromhex(fields[2].partition(":")[0])[::-1]
            if any(number):
                yield ipaddress.IPv4Address(number)
