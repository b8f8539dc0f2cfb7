"""The messages of the control socket: both ways, each one, and nothing that is not one."""

from __future__ import annotations

import json

import pytest

from proxy.contract.grant import MAX_SECRETS_CHARS
from proxy.contract.messages import (
    MAX_LINE_BYTES,
    Applied,
    Decided,
    Event,
    Failed,
    GiveGrant,
    Hello,
    Listening,
    MessageTooLongError,
    Op,
    Open,
    ProtocolError,
    Ready,
    Refused,
    Revoke,
    Revoked,
    encode,
    read_event,
    read_op,
)
from tests.unit.proxy.contract.test_decision_line import LINE

OPS: dict[str, Op] = {
    '{"op":"open","address":"10.0.0.2"}': Open("10.0.0.2"),
    '{"op":"hello","ca_cert_pem":"c","ca_key_pem":"k-e-y"}': Hello("c", "k-e-y"),
    '{"op":"grant","grant":{"sandbox_id":"run-1","revision":3}}': GiveGrant(
        {"sandbox_id": "run-1", "revision": 3}
    ),
    '{"op":"revoke","sandbox_id":"run-1"}': Revoke("run-1"),
}
EVENTS: dict[str, Event] = {
    '{"event":"ready"}': Ready(),
    '{"event":"listening"}': Listening(),
    '{"event":"failed","error":"e"}': Failed("e"),
    '{"event":"applied","sandbox_id":"run-1","revision":3}': Applied("run-1", 3),
    '{"event":"refused","sandbox_id":"run-1","revision":null,"error":"e"}': Refused("run-1", None, "e"),
    '{"event":"revoked","sandbox_id":"run-1"}': Revoked("run-1"),
    '{"event":"decision","decision":' + json.dumps(LINE, separators=(",", ":")) + "}": Decided(LINE),
}


@pytest.mark.parametrize(("text", "op"), OPS.items(), ids=lambda value: type(value).__name__)
def test_an_op_survives_the_wire(text: str, op: Op) -> None:
    """The daemon writes it, the proxy reads the same."""
    assert encode(op).decode() == text + "\n"
    assert read_op(encode(op)) == op


@pytest.mark.parametrize(("text", "event"), EVENTS.items(), ids=lambda value: type(value).__name__)
def test_an_event_survives_the_wire(text: str, event: Event) -> None:
    """The proxy writes it, the daemon reads the same."""
    assert encode(event).decode() == text + "\n"
    assert read_event(encode(event)) == event


def test_every_message_is_tested_here() -> None:
    """A message that is added is one that crosses in the tests above."""
    assert {type(op) for op in OPS.values()} == set(Op.__value__.__args__)
    assert {type(event) for event in EVENTS.values()} == set(Event.__value__.__args__)


def test_a_grant_tells_whose_it_is_whatever_else_it_holds() -> None:
    """An answer names the sandbox and the revision also of a grant that cannot be read."""
    broken = GiveGrant({"sandbox_id": "run-1", "revision": "x", "token": "t-o-k-e-n"})
    assert (broken.sandbox_id, broken.revision) == ("run-1", None)
    assert "t-o-k-e-n" not in repr(broken)
    assert "k-e-y" not in repr(Hello("c", "k-e-y"))


DEFECTS = [
    b"",
    b"ready",
    b"[]",
    b"7",
    b"[" * 100_000,
    b"\xff",
    b"{}",
    b'{"event":7}',
    b'{"event":["ready"]}',
    b'{"event":"hello","ca_cert_pem":"c","ca_key_pem":"k"}',
    b'{"event":"ready","more":1}',
    b'{"event":"applied","sandbox_id":"run-1"}',
    b'{"event":"applied","sandbox_id":1,"revision":3}',
    b'{"event":"applied","sandbox_id":"run-1","revision":true}',
    b'{"event":"applied","sandbox_id":"run-1","revision":"3"}',
    b'{"event":"decision","decision":{"host":"v-a-l-u-e"}}',
]


@pytest.mark.parametrize("line", DEFECTS, ids=lambda line: str(line[:60]))
def test_what_is_no_event_is_a_protocol_error(line: bytes) -> None:
    """Nothing is guessed or ignored, and the error repeats nothing of the line."""
    with pytest.raises(ProtocolError) as caught:
        read_event(line)
    assert "v-a-l-u-e" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["", "0.0.0.0", "::", "::1", "224.0.0.1", "10.0.0.2:80", "ok.test", "10.0.0.2,"]
)
def test_an_open_names_one_address(address: str) -> None:
    """Listening everywhere, or elsewhere, cannot be asked for."""
    with pytest.raises(ProtocolError):
        read_op(encode(Open(address)))


@pytest.mark.parametrize("line", [b'{"op":"ready"}', b'{"op":"grant","grant":[]}', b'{"op":"revoke"}', b"{"])
def test_what_is_no_op_is_a_protocol_error(line: bytes) -> None:
    """The proxy does nothing that it was not asked in these words."""
    with pytest.raises(ProtocolError):
        read_op(line)


def test_the_longest_secrets_fit_into_a_line() -> None:
    """What a grant's secrets may take as JSON leaves most of the line to the policy."""
    assert MAX_LINE_BYTES >= 8 * MAX_SECRETS_CHARS


def test_a_message_that_the_other_end_would_not_read_is_never_written() -> None:
    """A line over the limit ends the connection at the other end, and with it every sandbox's grant."""
    fits = encode(Hello("x" * (MAX_LINE_BYTES - 200), ""))
    assert len(fits) <= MAX_LINE_BYTES

    with pytest.raises(MessageTooLongError, match="longer than 4 MiB"):
        encode(Hello("x" * MAX_LINE_BYTES, ""))
