"""runtime.probe.attack: markers, addresses, and what the canaries' records are taken for."""

from __future__ import annotations

import ipaddress
import json

from proxy.policy.model import Policy
from runtime.canary.net.ground import RANGES, Ground
from runtime.canary.seen import Hello, Packet, Query, Record
from runtime.probe.attack import Plan, _view, unexplained
from runtime.probe.corpus import CASES
from runtime.probe.result import Inside

GROUND = Ground(ipaddress.IPv4Network(RANGES[1]))
PUBLIC, UPSTREAM = GROUND.public, GROUND.upstream


def test_every_case_has_a_marker_and_an_address_of_its_own():
    """Nothing seen outside can be taken for another case's."""
    plan = Plan(CASES, GROUND)

    assert len(set(plan.markers.values())) == len(CASES)
    assert len({*plan.addresses.values(), plan.rebinding}) == len(plan.addresses) + 1
    assert not any(a in b for a in plan.markers.values() for b in plan.markers.values() if a != b)


def test_document_holds_no_placeholder_of_the_plan():
    """Markers and addresses are filled in; what only the sandbox knows is left to it."""
    text = json.dumps(Plan(CASES, GROUND).document({}))

    assert "{m}" not in text
    assert not [name for name in ("{ip}", "{public}", "{dns}", "{upstream}") if name in text]
    assert "{proxy}" in text


def test_networks_of_the_corpus_become_held_addresses():
    """The name server never answers with a network."""
    zone = Plan(CASES, GROUND).zone({"10.0.0.0/8": "10.255.255.254"})

    assert zone["a01-private.wild.test"] == [["10.255.255.254"]]


def test_a_cases_own_traces_are_its_sightings():
    """By its marker in names, by its address in packets."""
    plan = Plan(CASES, GROUND)
    case = next(case for case in CASES if case.id == "P-01b")
    marker, address = plan.markers[case.id], plan.addresses[case.id]
    world = Record(
        packets=[Packet(0, "tcp", "10.0.0.2", address, 22), Packet(0, "tcp", "10.0.0.2", PUBLIC, 22)],
        dns=[Query(0, f"{marker}.evil.test", "A", "udp"), Query(0, "other.evil.test", "A", "udp")],
        hellos=[Hello(0, f"{marker}.evil.test"), Hello(0, None)],
    )

    assert len(_view(case, plan, Inside(), [], world).sightings) == 3


def test_audit_lines_are_told_apart_by_port_and_marker():
    """A line of another attempt is not counted."""
    plan = Plan(CASES, GROUND)
    case = CASES[0]
    lines = [
        {"client_port": 4000, "host": "x", "path": None},
        {"client_port": 4001, "host": "x", "path": None},
        {"client_port": None, "host": f"{plan.markers[case.id]}.evil.test", "path": None},
    ]

    seen = _view(case, plan, Inside(ports=(4000,)), lines, Record())

    assert [line["client_port"] for line in seen.lines] == [4000, None]


def test_what_no_case_accounts_for_is_a_problem():
    """A packet to any address that is no upstream's, a question for a name that is not allowed."""
    plan = Plan(CASES, GROUND)
    world = Record(
        packets=[Packet(0, "tcp", "10.0.0.2", PUBLIC, 443), Packet(0, "tcp", GROUND.gateway, UPSTREAM, 443)],
        dns=[
            Query(0, "ok.test", "A", "udp"),
            Query(0, "a.wild.test", "A", "udp"),
            Query(0, "x.y", "A", "udp"),
        ],
    )

    assert len(unexplained(plan, world, Policy("p"))) == 2
    assert len(unexplained(plan, world, Policy("p", allow_any_public=True))) == 1


def test_the_hosts_own_packets_are_no_problem():
    """What the host itself sent to a canary came out of no sandbox; a container's packet did."""
    plan = Plan(CASES, GROUND)
    packets = [Packet(0, "tcp", source, PUBLIC, 80) for source in (GROUND.host, GROUND.gateway)]

    found = unexplained(plan, Record(packets=packets), Policy("p"))

    assert [line.rpartition(" ")[2] for line in found] == [GROUND.gateway]
