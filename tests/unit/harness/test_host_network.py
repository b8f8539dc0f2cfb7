"""tests.harness.host_network."""

from __future__ import annotations

import json

import pytest

from runtime.daemon.owner import is_alive, this_process
from tests.harness.canary_net import NETWORKS
from tests.harness.host_network import conflicts


def _host(*, addresses: list[tuple[str, int]], routes: list[dict[str, str]]):
    links = [{"ifname": "e0", "addr_info": [{"local": a, "prefixlen": n} for a, n in addresses]}]
    return lambda command: json.dumps(links if command.endswith("addr") else routes)


@pytest.mark.parametrize(
    ("address", "route", "found"),
    [
        (("192.0.2.2", 24), {"dst": "10.0.0.0/8"}, 0),
        (("203.0.113.7", 32), {"dst": "10.0.0.0/8"}, 1),
        (("192.0.2.2", 24), {"dst": "169.254.169.254"}, 1),
        (("192.0.2.2", 24), {"dst": "169.254.0.0/16"}, 1),
        (("192.0.2.2", 24), {"dst": "203.0.113.128/25"}, 1),
        (("192.0.2.2", 24), {"dst": "default"}, 0),
        (("192.0.2.2", 24), {"dst": "203.0.113.7", "table": "local"}, 0),
    ],
)
def test_a_claim_on_our_networks_is_found(
    address: tuple[str, int], route: dict[str, str], found: int
) -> None:
    """An address or route that overlaps a target is a conflict; a default route is none."""
    assert len(conflicts(_host(addresses=[address], routes=[route]), NETWORKS)) == found


def test_an_owner_is_told_from_a_later_process() -> None:
    """A process owns what it labelled; another start time under the same number does not."""
    mine = this_process()
    pid, _, boot = mine.split(":")
    assert is_alive(mine)
    assert not is_alive(f"{pid}:1:{boot}")
    assert not is_alive("rubbish")
