"""runtime.probe.targets: no attack is made at an address that is not the probe's own."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from runtime.canary.client import CanaryError
from runtime.canary.net.ground import RANGES, Ground
from runtime.probe.attack import Plan
from runtime.probe.corpus import CASES
from runtime.probe.targets import addresses_in, require_owned

GROUND = Ground(ipaddress.IPv4Network(RANGES[0]))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("192.0.2.7", {"192.0.2.7"}),
        ({"address": "192.0.2.7", "port": 443}, {"192.0.2.7"}),
        ("CONNECT 192.0.2.7:443 HTTP/1.1\r\nHost: 198.51.100.1\r\n\r\n", {"192.0.2.7", "198.51.100.1"}),
        ("http://ok.test/redirect?to=http://192.0.2.7/x", {"192.0.2.7"}),
        ("CONNECT 2852039166:80 HTTP/1.1", {"169.254.169.254"}),
        ("CONNECT 0251.0376.0251.0376:80", {"169.254.169.254"}),
        ("CONNECT 169.254.43518:80", {"169.254.169.254"}),
        ("0xa9fea9fe", {"169.254.169.254"}),
        ([["connect", "192.0.2.7:22", "token"]], {"192.0.2.7"}),
        ("[::ffff:192.0.2.7]:80", {"192.0.2.7"}),
        ("[::ffff:192.0.2.7%x.wild.test]:443", {"192.0.2.7"}),
        ("[fd00:ec2::254]:80", {"fd00:ec2::254"}),
        ("fd00:ec2::254", {"fd00:ec2::254"}),
        ("PROXY TCP4 192.0.2.7 192.0.2.8 1 443\r\n", {"192.0.2.7", "192.0.2.8"}),
        ("127.0.0.1 [::1]:443 255.255.255.255 224.0.0.251 0.0.0.0", set()),
        ("1.0.233.10.in-addr.arpa", set()),
        ("CONNECT 1.2.3.4.5:443", set()),
        ("CONNECT 256.0.0.1:443", set()),
        ("GET /a HTTP/1.1\r\nContent-Length: 12\r\nHost: ok.test:443\r\n", set()),
        (7, set()),
    ],
)
def test_addresses_are_found_in_every_spelling(value: Any, found: set[str]) -> None:
    """Dotted, short, octal, hexadecimal, as a number, in IPv6; what no machine sends on is nobody's target."""
    assert addresses_in(value) == found


def test_a_case_at_an_address_that_is_not_owned_is_refused() -> None:
    """The error names the case and the address; a case at owned addresses is let through."""
    aims = {"A-01": {"address": "192.0.2.7"}, "A-02": {"address": "192.0.2.8"}}
    require_owned(aims, {"192.0.2.7", "192.0.2.8"})
    with pytest.raises(CanaryError, match=r"A-02 \(192\.0\.2\.8\)"):
        require_owned(aims, {"192.0.2.7"})


def test_an_answer_of_the_name_server_is_a_target_too() -> None:
    """A name that an attack asks for leads to owned addresses only."""
    with pytest.raises(CanaryError, match="8\\.8\\.8\\.8"):
        require_owned({"x.wild.test": [["8.8.8.8"], ["NXDOMAIN"]]}, set())


def test_the_whole_corpus_aims_at_what_it_asks_to_hold() -> None:
    """With everything held that the plan wants, no case and no answer leads elsewhere."""
    plan = Plan(CASES, GROUND)
    held = {text: str(ipaddress.ip_network(text)[-2]) if "/" in text else text for text in plan.wanted}
    require_owned({**plan.aims, **plan.zone(held)}, {*held.values(), *GROUND.canaries})


def test_no_case_aims_at_an_address_that_is_somebodys() -> None:
    """Every address of the corpus is special, or of a range that nobody has on the internet."""
    somebodys = {"168.63.129.16", "192.0.0.192"}  # two clouds' own, within them
    wanted = [ipaddress.ip_network(text) for text in Plan(CASES, GROUND).wanted - somebodys]
    assert not [str(network) for network in wanted if network.is_global and not _is_translated(network)]


def _is_translated(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    prefixes = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("2002::/16"))
    return isinstance(network, ipaddress.IPv6Network) and any(network.subnet_of(p) for p in prefixes)
