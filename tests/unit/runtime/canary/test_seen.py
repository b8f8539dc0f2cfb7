"""runtime.canary.seen."""

from __future__ import annotations

import json

from runtime.canary.seen import Accept, Exchange, Hello, Packet, Query, Record, record_from_json
from runtime.canary.world import World


def test_a_record_survives_its_journey() -> None:
    """What the simulator wrote down is what a test reads back through the control socket."""
    world = World()
    world.seen.accepts.append(Accept(1.0, "203.0.113.66", 443, "10.0.0.1:5"))
    world.seen.packets.append(Packet(1.0, "udp", "10.0.0.1", "203.0.113.53", 53))
    world.seen.dns.append(Query(1.0, "a.evil.test", "A", "udp"))
    world.seen.hellos.append(Hello(1.0, None))
    header = [("authorization", "Bearer k"), ("accept", "*/*")]
    request = Exchange(1.0, "https", "203.0.113.10", 443, "ok.test", "ok.test", "GET", "/", "", header)
    world.seen.requests.append(request)
    record = record_from_json(json.loads(json.dumps(world.snapshot())))
    assert record == world.seen
    assert record.accepts_to("203.0.113.66", 80) == []
    assert [q.name for q in record.queries_for("evil.test")] == ["a.evil.test"]
    assert record.queries_for("vil.test") == []
    assert record.requests_to("OK.test")[0].credentials == {"authorization": "Bearer k"}


def test_the_hosts_own_connections_are_left_out() -> None:
    """By the address that only the host has; names stay, since a program of the host may ask for a sandbox's."""
    record = Record(
        accepts=[Accept(0, "203.0.113.66", 80, f"203.0.113.{n}:4000") for n in (1, 2)],
        packets=[Packet(0, "tcp", f"203.0.113.{n}", "203.0.113.66", 80) for n in (1, 2, 22)],
        dns=[Query(0, "m1.evil.test", "A", "udp")],
    )

    left = record.without("203.0.113.2")

    assert [accept.peer for accept in left.accepts] == ["203.0.113.1:4000"]
    assert [packet.source for packet in left.packets] == ["203.0.113.1", "203.0.113.22"]
    assert left.dns == record.dns
