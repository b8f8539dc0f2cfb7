"""runtime.network.nearby: the subnets of a container, from what the engine tells of its ends."""

from __future__ import annotations

import ipaddress

from runtime.network.nearby import networks_of

ENDS = {
    "egress": {
        "IPAddress": "172.20.0.2",
        "IPPrefixLen": 16,
        "GlobalIPv6Address": "fd00::2",
        "GlobalIPv6PrefixLen": 64,
    },
    "slot": {"IPAddress": "10.231.0.2", "IPPrefixLen": 29, "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0},
    "stopped": {"IPAddress": "", "IPPrefixLen": 0},
}


class Engine:
    """One that knows the container."""

    async def inspect(self, container: str) -> dict[str, object]:
        assert container == "proxy"
        return {"NetworkSettings": {"Networks": ENDS}}


async def test_every_subnet_is_told():
    """Of both families; an end without an address has none."""
    found = await networks_of(Engine(), "proxy")  # type: ignore[arg-type]
    assert found == [ipaddress.ip_network(text) for text in ("172.20.0.0/16", "fd00::/64", "10.231.0.0/29")]
