"""runtime.canary.net.ground: which addresses the canaries take."""

from __future__ import annotations

import ipaddress

import pytest

from runtime.canary.client import CanaryError
from runtime.canary.net.ground import METADATA, RANGES, Ground, HostUse, choose, stand_in

FIRST = Ground(ipaddress.IPv4Network(RANGES[0]))


def _networks(*texts: str) -> HostUse:
    return HostUse(networks={ipaddress.ip_network(text): f"route {text}" for text in texts})


def _addresses(*texts: str) -> HostUse:
    return HostUse(addresses={ipaddress.ip_address(text): f"mirror {text}" for text in texts})


@pytest.mark.parametrize(
    ("use", "chosen"),
    [
        (HostUse(), RANGES[0]),
        (_networks("10.0.0.0/8", "::1/128"), RANGES[0]),
        (_networks("203.0.113.128/25"), RANGES[1]),
        (_networks("203.0.0.0/16"), RANGES[1]),
        (_addresses("203.0.113.200"), RANGES[1]),
        (_addresses("203.0.113.200", "198.51.100.1", "192.0.2.2"), RANGES[3]),
    ],
)
def test_the_first_range_that_nothing_uses_is_taken(use: HostUse, chosen: str) -> None:
    """Any address, neighbour, mirror or route in a range leads to the next one."""
    assert str(choose(use).network) == chosen


def test_no_free_range_is_an_error_that_names_every_user() -> None:
    """Nothing is shared with the host: without a range of their own the canaries do not start."""
    with pytest.raises(CanaryError, match="uses all") as raised:
        choose(_addresses(*(str(ipaddress.ip_network(text)[9]) for text in RANGES)))
    assert all(f"mirror {text.removesuffix('0/24')}9" in str(raised.value) for text in RANGES)


@pytest.mark.parametrize("use", [_networks("169.254.0.0/16"), _addresses(METADATA)])
def test_the_metadata_address_in_use_is_an_error(use: HostUse) -> None:
    """The one canary that cannot move does not take an address away from the host."""
    with pytest.raises(CanaryError, match=r"169\.254\.169\.254"):
        choose(use)


def test_the_parties_of_a_range_are_apart() -> None:
    """The host, the gateway, the canaries and the cases each have an address of their own."""
    named = [FIRST.gateway, FIRST.host, *FIRST.canaries, *(FIRST.case(n) for n in range(155))]
    assert len(set(named)) == len(named)


def test_case_addresses_stay_in_the_range() -> None:
    """More cases than addresses is an error, never an address of somebody else's."""
    assert (FIRST.case(0), FIRST.case(154)) == ("203.0.113.100", "203.0.113.254")
    with pytest.raises(ValueError, match="more cases"):
        FIRST.case(155)


@pytest.mark.parametrize(
    ("use", "wanted", "taken"),
    [
        (HostUse(), "168.63.129.16", "168.63.129.16"),
        (HostUse(), "10.0.0.0/8", "10.255.255.254"),
        (_networks("10.255.255.0/24"), "10.0.0.0/8", "10.251.255.254"),
        (_addresses("10.255.255.254"), "10.0.0.0/8", "10.251.255.254"),
        (_networks("172.17.0.0/16", "172.31.0.0/16"), "172.16.0.0/12", "172.30.255.254"),
        (_networks("192.168.240.0/20"), "192.168.0.0/16", "192.168.239.254"),
        (_networks("fd00::/8"), "fd00:ec2::254", "fd00:ec2::254"),
    ],
)
def test_a_target_is_held_where_the_host_does_not_use_it(use: HostUse, wanted: str, taken: str) -> None:
    """An address stands for itself, a network for one of its addresses that is free."""
    assert stand_in(use, wanted) == taken


@pytest.mark.parametrize(
    ("use", "wanted"),
    [
        (_networks("168.63.129.16/32"), "168.63.129.16"),
        (_networks("10.0.0.0/8"), "10.0.0.0/8"),
        (_networks("fd00:ec2::254/128"), "fd00:ec2::254"),
        (_addresses("fd00:ec2::254"), "fd00:ec2::254"),
    ],
)
def test_a_target_that_the_host_uses_is_refused(use: HostUse, wanted: str) -> None:
    """What the host itself needs is never led to a canary."""
    with pytest.raises(CanaryError, match="in use"):
        stand_in(use, wanted)
