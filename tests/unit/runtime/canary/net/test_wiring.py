"""runtime.canary.net.wiring: what is read of the host, and what is asked of it."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest

from runtime.canary.client import CanaryError
from runtime.canary.net.ground import METADATA, RANGES, Ground
from runtime.canary.net.wiring import (
    Rows,
    host_use,
    inside_script,
    join_script,
    lead_script,
    links_of,
    require_led,
    routes_of,
)

GROUND = Ground(ipaddress.IPv4Network(RANGES[0]))
SOCKETS = """  sl  local_address rem_address   st
   0: 0100007F:0CEA 00000000:0000 0A
   1: 020002C0:A1B2 647100CB:01BB 01
   2: 020002C0:A1B3 057100CB:01BB 06
"""


def _look(*, addresses: Rows = (), routes: Rows = (), neighbours: Rows = (), sockets: str = "") -> str:
    links: list[dict[str, Any]] = [{"ifname": "e0", "addr_info": list(addresses)}]
    parts = [json.dumps(links), json.dumps(list(routes)), "", json.dumps(list(neighbours)), sockets]
    return "\n--\n".join(parts)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"addresses": [{"local": "192.0.2.2", "prefixlen": 24}], "routes": [{"dst": "10.0.0.0/8"}]}, 0),
        ({"addresses": [{"local": "203.0.113.7", "prefixlen": 32}]}, 1),
        ({"routes": [{"dst": "203.0.113.128/25"}]}, 1),
        ({"routes": [{"dst": "default"}, {"dst": "0.0.0.0/0"}]}, 0),
        ({"routes": [{"dst": "203.0.113.7", "table": "local"}]}, 0),
        ({"neighbours": [{"dst": "203.0.113.9", "dev": "e0"}]}, 1),
        ({"sockets": SOCKETS}, 1),
    ],
)
def test_a_use_of_the_range_is_found(said: dict[str, Any], found: int) -> None:
    """An address, a route, a neighbour or an open connection in it is one; a default route is none."""
    assert len(host_use(_look(**said)).claims(RANGES[0])) == found


def test_what_else_the_host_needs_is_added() -> None:
    """Resolvers and mirrors are known to the caller, not to the network."""
    use = host_use(_look(), [("203.0.113.20", "the package mirror m.example")])
    assert use.claims(RANGES[0]) == ["the package mirror m.example"]


def test_links_and_routes_are_read() -> None:
    """The same output says which addresses are the host's own."""
    said = _look(
        addresses=[{"local": "192.0.2.2", "prefixlen": 24}], routes=[{"dst": "default", "dev": "e0"}]
    )
    assert links_of(said)[0]["addr_info"][0]["local"] == "192.0.2.2"
    assert routes_of(said) == [{"dst": "default", "dev": "e0"}]


def test_only_exact_addresses_are_led_away() -> None:
    """No command names a network: everything else in the range stays the host's."""
    scripts = [
        join_script(GROUND, link="cnh1", pid=7),
        inside_script(GROUND),
        lead_script(GROUND, [*GROUND.canaries, "fd00:ec2::254"], link="cnh1"),
    ]
    words = " ".join(scripts).split()
    assert {word.partition("/")[2] for word in words if "/" in word and "dev/null" not in word} <= {
        "32",
        "128",
    }
    assert f"ip route add {METADATA}/32 via {GROUND.upstream} dev cnh1 src {GROUND.host}" in scripts[2]


def test_the_hosts_own_packets_have_an_address_of_their_own() -> None:
    """A container's packet that the engine rewrites takes the link's first address, the host's takes the other."""
    lines = join_script(GROUND, link="cnh1", pid=7).splitlines()
    added = [line.split()[3] for line in lines if line.startswith("ip addr add")]
    assert added == [f"{GROUND.gateway}/32", f"{GROUND.host}/32"]


HELD = '[{"dst":"x","dev":"cnh1"}]'


@pytest.mark.parametrize(
    "said",
    [f"{HELD}\n--\n{HELD}", f"{HELD}\n--\nRTNETLINK answers: Network is unreachable\n"],
)
def test_what_leads_to_the_canary_or_nowhere_is_owned(said: str) -> None:
    """An IPv6 address that the host has no way to is no way out either."""
    require_led(said, [METADATA, "fd00:ec2::254"], link="cnh1")


@pytest.mark.parametrize(
    "said",
    [
        f'[{{"dst":"x","dev":"eth0"}}]\n--\n{HELD}',
        f'{HELD}\n--\n[{{"dst":"x","dev":"eth0"}}]',
        f"RTNETLINK answers: Network is unreachable\n--\n{HELD}",
        f"{HELD}\n--\n",
        f"{HELD}\n--\nsh: ip: not found",
    ],
)
def test_what_may_lead_elsewhere_is_not_owned(said: str) -> None:
    """By another interface, by none, or not known: no attack may aim there."""
    with pytest.raises(CanaryError):
        require_led(said, [METADATA, "fd00:ec2::254"], link="cnh1")
