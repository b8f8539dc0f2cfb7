"""runtime.canary.dns."""

from __future__ import annotations

import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from runtime.canary.dns import MalformedQueryError, answer, parse_query
from runtime.canary.world import World


def _ask(world: World, name: str, kind: str = "A", transport: str = "udp") -> dns.message.Message:
    reply = answer(world, dns.message.make_query(name, kind).to_wire(), transport)
    assert reply is not None
    return dns.message.from_wire(reply)


@pytest.fixture
def world() -> World:
    """A world with a small zone."""
    made = World()
    made.zone.names.update(
        {
            "ok.test": [["203.0.113.10"]],
            "both.test": [["203.0.113.10", "2001:db8::1"]],
            "*.wild.test": [["203.0.113.11"]],
            "rebind.test": [["203.0.113.66"], ["127.0.0.1"]],
            "broken.test": [["SERVFAIL"]],
            "silent.test": [["DROP"]],
        }
    )
    return made


def test_a_zone_name_gets_its_address(world: World) -> None:
    """An independent DNS library reads the answer."""
    assert _ask(world, "OK.test").answer[0].to_text() == "OK.test. 0 IN A 203.0.113.10"


def test_the_family_asked_for_is_answered(world: World) -> None:
    """AAAA gives the IPv6 addresses only; a name without any gives an empty answer, not NXDOMAIN."""
    assert _ask(world, "both.test", "AAAA").answer[0][0].to_text() == "2001:db8::1"
    reply = _ask(world, "ok.test", "AAAA")
    assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])


def test_a_wildcard_stands_for_all_below_it(world: World) -> None:
    """`*.wild.test` covers any depth, and never the apex."""
    assert _ask(world, "a.b.wild.test").answer[0][0].to_text() == "203.0.113.11"
    assert _ask(world, "wild.test").rcode() == dns.rcode.NXDOMAIN


def test_answers_come_in_turn(world: World) -> None:
    """A rebinding name changes its address at the second question, and then keeps it."""
    seen = [_ask(world, "rebind.test").answer[0][0].to_text() for _ in range(3)]
    assert seen == ["203.0.113.66", "127.0.0.1", "127.0.0.1"]


def test_failures_are_answered_as_set(world: World) -> None:
    """A zone can fail a name, or leave it without any reply."""
    assert _ask(world, "broken.test").rcode() == dns.rcode.SERVFAIL
    assert answer(world, dns.message.make_query("silent.test", "A").to_wire(), "udp") is None


def test_every_question_is_recorded(world: World) -> None:
    """Also what is refused or malformed is written down, with its type and transport."""
    _ask(world, "nobody.test", "TXT", "tcp")
    answer(world, b"rubbish", "udp")
    seen = [(q.name, q.type, q.transport) for q in world.seen.dns]
    assert seen == [("nobody.test", "TXT", "tcp"), ("", "MALFORMED", "udp")]


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 12, bytes(4) + b"\0\1" + bytes(6) + b"\x3fabc" + bytes(8), bytes(17)]
)
def test_rubbish_is_no_query(data: bytes) -> None:
    """Bytes that are no query raise one error, never another."""
    with pytest.raises(MalformedQueryError):
        parse_query(data)
