"""What proves the guard, and what does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.guard_proof import GuardStatus, ProofPlan, has_ipv6, judge, plan

LISTENER = {"port": 4000, "addresses": ["10.231.0.1", "192.0.2.2", "fd00::2"], "link_local": "fe80::1"}
NEIGHBOUR = {"port": 5000, "link_local": "fe80::3"}
PROXY = ("10.231.0.2", 8080)


def planned(listener: object = LISTENER, neighbour: object = NEIGHBOUR) -> ProofPlan:
    """The plan for what the containers said."""
    return plan(
        json.dumps(listener),
        json.dumps(neighbour),
        gateway="10.231.0.1",
        neighbour_address="10.231.0.3",
        proxy=PROXY,
    )


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
    assert not has_ipv6(json.dumps({**LISTENER, "link_local": None}))


NOTHING: dict[str, tuple[Any, Any]] = {
    "a listener the host itself does not reach at the gateway": (
        {**LISTENER, "addresses": ["192.0.2.2"]},
        NEIGHBOUR,
    ),
    "a listener that reaches nothing": ({**LISTENER, "addresses": []}, NEIGHBOUR),
    "a neighbour without the IPv6 that the host has": (LISTENER, {**NEIGHBOUR, "link_local": None}),
    "a listener that says nothing of use": ({}, NEIGHBOUR),
    "a neighbour that says nothing of use": (LISTENER, {}),
    "a listener that says no object": ([], NEIGHBOUR),
}


@pytest.mark.parametrize("case", NOTHING)
def test_a_proof_that_could_not_fail_is_refused(case: str):
    """Where a control is missing there is no plan, hence no proof."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        planned(*NOTHING[case])


def test_proved():
    """All controls answered and the host did not: that proves the guard, and says what was tried."""
    status = judge(planned(), json.dumps(CONTROLS))
    assert status == GuardStatus(
        is_proved=True, detail="a sandbox reaches none of the host's 2 IPv4 and 2 IPv6 addresses"
    )


@pytest.mark.parametrize("address", ["10.231.0.1", "192.0.2.2", "fd00::2", "fe80::1%eth0"])
def test_any_answer_of_the_host_disproves(address: str):
    """One address of the host that answers is enough."""
    status = judge(planned(), json.dumps([*CONTROLS, [address, 4000]]))
    assert not status.is_proved
    assert address in status.detail


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
