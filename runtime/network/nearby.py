"""The subnets that a container is on, as the engine tells them."""

from __future__ import annotations

import ipaddress

from runtime.engine.protocol import Engine

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_ENDS = (("IPAddress", "IPPrefixLen"), ("GlobalIPv6Address", "GlobalIPv6PrefixLen"))


async def networks_of(engine: Engine, container: str) -> list[Network]:
    """All of them. Raises what the engine raises."""
    record = await engine.inspect(container)
    found: list[Network] = []
    for end in record["NetworkSettings"]["Networks"].values():
        for address, length in _ENDS:
            if end.get(address) and end.get(length):
                found.append(ipaddress.ip_network(f"{end[address]}/{end[length]}", strict=False))
    return found
