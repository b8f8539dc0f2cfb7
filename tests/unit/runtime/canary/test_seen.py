"""runtime.canary.seen."""

from __future__ import annotations

import json

from runtime.canary.seen import Accept, Exchange, Hello, Packet, Query, record_from_json
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
