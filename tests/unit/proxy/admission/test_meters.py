"""What a sandbox has spent, and that it goes with its grant."""

from __future__ import annotations

from proxy.admission.meters import (
    NO_BYTES_LEFT,
    TOO_MANY_CONNECTIONS,
    TOO_MANY_NAMES,
    TOO_MANY_OPENED,
    TOO_MANY_QUESTIONS,
    TOO_MANY_REQUESTS,
    TOO_MANY_TUNNELS,
    Meter,
    Meters,
)
from proxy.policy import limits
from proxy.policy.limits import Limits
from proxy.policy.reasons import ReasonCode

FEW = Limits(requests_per_minute=2, connections=2, bytes_out=10, bytes_in=10)


def test_connections_beyond_the_limit_are_told_then_closed():
    """A few are told why; those beyond these are not served at all; one that ends makes room."""
    meter = Meter()
    admissions = [meter.open_connection(FEW, 0.0) for _ in range(2 + limits.MAX_TOLD_CONNECTIONS + 1)]

    assert [a.refusal for a in admissions[:3]] == [None, None, TOO_MANY_CONNECTIONS]
    assert [a.is_told for a in admissions[-2:]] == [True, False]
    for _ in admissions:
        meter.close_connection()
    assert meter.open_connection(FEW, 0.0).refusal is None


def test_bytes_are_used_up_for_good():
    """The bytes that cross the line do not pass, and no connection or request comes after them."""
    meter = Meter()

    assert meter.take_bytes(FEW, out=10, into=10)
    assert not meter.take_bytes(FEW, out=1)
    assert not meter.take_bytes(FEW, into=1)
    assert meter.open_connection(FEW, 0.0).refusal is NO_BYTES_LEFT
    assert meter.take_request(FEW, 0.0) is NO_BYTES_LEFT
    assert meter.take_tunnel(FEW, 0.0) is NO_BYTES_LEFT


def test_bytes_without_a_limit_are_only_counted():
    """No budget, no end."""
    meter, free = Meter(), limits.Limits(2, 2, None, None)

    assert meter.take_bytes(free, out=1 << 40, into=1 << 40)
    assert not meter.is_spent(free)


def test_requests_and_tunnels_share_the_budget():
    """An allowed tunnel costs no request of its own, but none is opened when the requests are used up."""
    meter = Meter()

    assert [meter.take_tunnel(FEW, 0.0) for _ in range(5)] == [None] * 5
    assert [meter.take_request(FEW, 0.0) for _ in range(3)] == [None, None, TOO_MANY_REQUESTS]
    assert meter.take_tunnel(FEW, 0.0) is TOO_MANY_REQUESTS


def test_tunnels_have_a_bound_of_their_own():
    """Opening tunnels without a request in them is work too."""
    meter = Meter()
    for _ in range(FEW.tunnels_per_minute):
        meter.take_tunnel(FEW, 0.0)

    assert meter.take_tunnel(FEW, 0.0) is TOO_MANY_TUNNELS


def test_tunnels_names_and_questions_are_the_policys_to_bound():
    """A budget of its own for each, down to none at all."""
    two, none = (Limits(9, 9, None, None, number, number, number) for number in (2, 0))
    for allowed, room in ((two, 2), (none, 0)):
        meter = Meter()
        assert [meter.take_tunnel(allowed, 0.0) for _ in range(3)].count(None) == room
        assert [meter.take_name(allowed, f"{i}.test", 0.0) for i in range(3)].count(None) == room
        assert [meter.take_question(allowed, 0.0) for _ in range(3)].count(None) == room


def test_names_are_bounded_and_the_last_ones_are_free():
    """A name that was seen lately costs nothing, and what is remembered has an end."""
    meter = Meter()
    taken = [meter.take_name(FEW, f"{i}.test", 0.0) for i in range(FEW.new_names_per_minute + 1)]

    assert taken[-2:] == [None, TOO_MANY_NAMES]
    assert meter.take_name(FEW, "0.test", 0.0) is None
    for minute in range(1, 5):
        for i in range(FEW.new_names_per_minute):
            meter.take_name(FEW, f"{minute}-{i}.test", minute * 61.0)
    assert len(meter._names) == limits.REMEMBERED_NAMES


def test_questions_and_their_clients_are_bounded():
    """The DNS sink's work has an end each minute, and at one time."""
    meter = Meter()
    questions = [meter.take_question(FEW, 0.0) for _ in range(FEW.dns_questions_per_minute + 1)]
    peers = [meter.open_name_peer().refusal for _ in range(limits.MAX_NAME_PEERS + 1)]

    assert questions[-2:] == peers[-2:] == [None, TOO_MANY_QUESTIONS]
    meter.close_name_peer()
    meter.close_name_peer()
    assert meter.open_name_peer().refusal is None


def test_lines_that_are_left_out_are_counted():
    """Lines plus the counts are every refusal there was; counts are reported now and then, and at the end."""
    meter, total = Meter(), limits.DENY_LINES_PER_MINUTE + 50
    written = sum(meter.take_deny_line(ReasonCode.PORT, 0.0) for _ in range(total))
    first = meter.take_suppressed(0.0)
    meter.take_deny_line(ReasonCode.PATH, 1.0)

    assert written == limits.DENY_LINES_PER_MINUTE
    assert first == {ReasonCode.PORT: 50}
    assert meter.take_suppressed(1.0) == {}
    assert meter.take_suppressed(1.0, is_last=True) == {ReasonCode.PATH: 1}
    assert meter.take_suppressed(100.0) == {}


def test_a_meter_goes_with_its_sandbox():
    """Nothing of a sandbox stays; refusals that belong to none have a meter of their own."""
    meters = Meters(lambda: 0.0)
    meter = meters.of("a")

    assert meters.of("a") is meters.find("a") is meter
    assert meters.find("b") is meters.find(None) is meters.of_none
    assert meters.items() == [("a", meter), (None, meters.of_none)]
    assert meters.drop("a") is meter
    assert meters.drop("a") is None
    assert meters.of("a") is not meter


def test_connections_of_a_minute_are_counted_whether_they_last_or_not():
    """Beyond the bound one is closed untold, and a minute later there is room again."""
    meter = Meter()
    for _ in range(limits.CONNECTIONS_PER_MINUTE):
        assert meter.open_connection(FEW, 0.0).refusal is None
        meter.close_connection()
    over = meter.open_connection(FEW, 30.0)
    assert (over.refusal, over.is_told) == (TOO_MANY_OPENED, False)
    meter.close_connection()
    assert meter.open_connection(FEW, 61.0).refusal is None
