"""What proves the guard, and what does not."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest

from runtime.network.proof import GuardStatus, ProofPlan, behind_the_host, judge, plan
from runtime.network.slots import slot_at

LISTENER = {
    "port": 4000,
    "addresses": ["10.231.0.1", "192.0.2.2", "fd00::2"],
    "link_local": "fe80::1",
    "behind": [["172.18.0.2", 8080]],
}
NEIGHBOUR = {"port": 5000, "link_local": "fe80::3"}
SLOT = slot_at(ipaddress.IPv4Network("10.231.0.0/24"), 0, "proof")


def planned(listener: object = LISTENER, neighbour: object = NEIGHBOUR) -> ProofPlan:
    """The plan for what the containers said."""
    return plan(json.dumps(listener), json.dumps(neighbour), slot=SLOT, proxy_port=8080)


CONTROLS = [["10.231.0.3", 5000], ["10.231.0.2", 8080], ["fe80::3%eth0", 5000]]


def test_unproved_is_the_zero_value():
    """A status that nobody set proves nothing."""
    assert not GuardStatus().is_proved


def test_plan_tries_every_address_of_the_host_and_the_bridge_by_ipv6():
    """The gateway, the host's other addresses and the bridge's link-local one are tried."""
    assert planned().host == (
        ("10.231.0.1", 4000),
        ("192.0.2.2", 4000),
        ("fd00::2", 4000),
        ("fe80::1%eth0", 4000),
    )


def test_plan_has_controls_over_both_families():
    """The neighbour by IPv4 and IPv6, and the proxy, must answer."""
    assert [list(c) for c in planned().controls] == CONTROLS


def test_without_ipv6_on_the_host_there_is_nothing_to_try_by_it():
    """A host without IPv6 is proved by IPv4 alone."""
    attempt = planned(
        {**LISTENER, "addresses": ["10.231.0.1"], "link_local": None}, {**NEIGHBOUR, "link_local": None}
    )
    assert attempt.host == (("10.231.0.1", 4000),)
    assert attempt.controls == (("10.231.0.3", 5000), ("10.231.0.2", 8080))


NOTHING: dict[str, tuple[Any, Any]] = {
    "a listener the host itself does not reach at the gateway": (
        {**LISTENER, "addresses": ["192.0.2.2"]},
        NEIGHBOUR,
    ),
    "a listener that reaches nothing": ({**LISTENER, "addresses": []}, NEIGHBOUR),
    "a proxy that the host does not reach on its other network": ({**LISTENER, "behind": []}, NEIGHBOUR),
    "a neighbour without the IPv6 that the host has": (LISTENER, {**NEIGHBOUR, "link_local": None}),
    "a listener that says nothing of use": ({}, NEIGHBOUR),
    "a neighbour that says nothing of use": (LISTENER, {}),
    "a listener that says no object": ([], NEIGHBOUR),
}


@pytest.mark.parametrize("words", [("", "{}"), ("{}", ""), ("Traceback", "{}")])
def test_containers_that_say_no_json_prove_nothing(words: tuple[str, str]):
    """A container that died is told in words of ours."""
    slot = slot_at(ipaddress.IPv4Network("10.231.0.0/24"), 0, "proof")
    with pytest.raises(ValueError, match="nothing is proved"):
        plan(*words, slot=slot, proxy_port=8080)


@pytest.mark.parametrize("case", NOTHING)
def test_a_proof_that_could_not_fail_is_refused(case: str):
    """Where a control is missing there is no plan, hence no proof."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        planned(*NOTHING[case])


def test_proved():
    """All controls answered and the host did not: that proves the guard, and says what was tried."""
    status = judge(planned(), json.dumps(CONTROLS))
    assert status == GuardStatus(
        is_proved=True,
        detail="a sandbox reaches none of the host's 2 IPv4 and 2 IPv6 addresses, and nothing through it",
    )


@pytest.mark.parametrize("address", ["10.231.0.1", "192.0.2.2", "fd00::2", "fe80::1%eth0"])
def test_any_answer_of_the_host_disproves(address: str):
    """One address of the host that answers is enough."""
    status = judge(planned(), json.dumps([*CONTROLS, [address, 4000]]))
    assert not status.is_proved
    assert address in status.detail


def test_what_answers_through_the_host_disproves():
    """A host that forwards is a way out, although it does not answer itself."""
    status = judge(planned(), json.dumps([*CONTROLS, ["172.18.0.2", 8080]]))
    assert status == GuardStatus(
        detail="a sandbox reaches 172.18.0.2 through the host: the guard does not hold"
    )


def test_what_lies_behind_the_host_is_where_the_proxy_is_beside_the_proof():
    """The proxy's address on any network but the proof's own is tried."""
    networks = {
        "egress": {"IPAddress": "172.18.0.2"},
        "proof": {"IPAddress": "10.231.0.2"},
        "down": {"IPAddress": ""},
    }
    record = {"NetworkSettings": {"Networks": networks}}
    assert behind_the_host(record, {"proof"}, 8080) == (("172.18.0.2", 8080),)


@pytest.mark.parametrize("missing", range(3))
def test_any_silent_control_disproves(missing: int):
    """A network on which nothing works proves nothing."""
    status = judge(planned(), json.dumps([c for i, c in enumerate(CONTROLS) if i != missing]))
    assert not status.is_proved
    assert "nothing is proved" in status.detail


@pytest.mark.parametrize("output", ["", "null", "{}", "[1]", '[["x"]]', "Traceback", '[["10.231.0.3", "x"]]'])
def test_a_probe_that_says_something_else_disproves(output: str):
    """A probe that fails is not a probe that reached nothing."""
    assert not judge(planned(), output).is_proved


def test_a_bridge_without_the_host_is_proved_by_the_hosts_other_addresses():
    """With isolated gateways the bridge has none of them; without them its absence proves nothing."""
    elsewhere = {**LISTENER, "addresses": ["192.0.2.7"]}
    words = json.dumps(elsewhere), json.dumps(NEIGHBOUR)

    found = plan(*words, slot=SLOT, proxy_port=8080, is_isolated=True)

    assert ("192.0.2.7", LISTENER["port"]) in found.host
    with pytest.raises(ValueError, match="nothing is proved"):
        plan(*words, slot=SLOT, proxy_port=8080)


def test_a_host_without_any_address_proves_nothing():
    """Also where gateways are isolated."""
    words = json.dumps({**LISTENER, "addresses": []}), json.dumps(NEIGHBOUR)

    with pytest.raises(ValueError, match="nothing is proved"):
        plan(*words, slot=SLOT, proxy_port=8080, is_isolated=True)
