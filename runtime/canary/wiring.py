"""Joining a canary's network namespace to the host, with iproute2: the commands and what they say. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

Rows = list[dict[str, Any]]


def conflicts(links: Rows, routes: Rows, networks: Sequence[str]) -> list[str]:
    """What on the host already claims one of these networks: its own addresses and non-default routes.

    `links` is `ip -j -4 addr`, `routes` is `ip -j -4 route show table all`.
    """
    wanted = [ipaddress.ip_network(network) for network in networks]
    found = []
    for link in links:
        for entry in link.get("addr_info", []):
            held = ipaddress.ip_network(f"{entry['local']}/{entry['prefixlen']}", strict=False)
            if any(held.overlaps(network) for network in wanted):
                found.append(f"address {entry['local']}/{entry['prefixlen']} on {link['ifname']}")
    for route in routes:
        if route["dst"] == "default" or route.get("table") == "local":
            continue
        held = ipaddress.ip_network(route["dst"], strict=False)
        if held.prefixlen and any(held.overlaps(network) for network in wanted):
            found.append(f"route {route['dst']} dev {route.get('dev', '-')}")
    return found


def wire_script(
    *, link: str, pid: int, gateway: str, addresses: Sequence[str], networks: Sequence[str]
) -> str:
    """The commands that join a process's network namespace to the host and route `networks` to it."""
    inside = f"nsenter -t {pid} -n ip"
    peer = "canary0"
    return "\n".join(
        [
            f"ip link add {link} type veth peer name {peer} netns {pid}",
            f"ip link set dev {link} addrgenmode none",
            f"ip link set dev {link} up",
            f"ip addr add {gateway}/32 dev {link}",
            f"{inside} link set dev lo up",
            f"{inside} link set dev {peer} addrgenmode none",
            f"{inside} link set dev {peer} up",
            *(f"{inside} addr add {address}/32 dev {peer}" for address in addresses),
            f"{inside} route add {gateway} dev {peer} src {addresses[0]}",
            f"{inside} route add default via {gateway}",
            # By way of a neighbour that answers: an address that nobody has must still be delivered.
            f"ip route add {addresses[0]}/32 dev {link} src {gateway}",
            *(f"ip route add {network} via {addresses[0]} dev {link} src {gateway}" for network in networks),
        ]
    )
