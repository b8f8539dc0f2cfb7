"""Questions and answers as bytes, against another reader and writer of them."""

from __future__ import annotations

import contextlib

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.destination.dns_message import Answer, BadAnswerError, encode_question, read_answer

QUESTION = encode_question("ok.test", 7)


def reply(*records: tuple[str, int, str, str], question: bytes = QUESTION) -> dns.message.Message:
    """An answer with (owner, ttl, kind, value)."""
    message = dns.message.make_response(dns.message.from_wire(question))
    for owner, ttl, kind, value in records:
        message.answer.append(dns.rrset.from_text(owner, ttl, "IN", kind, value))
    return message


def test_a_question_is_one_for_an_address() -> None:
    """Recursion is asked for; the name is whole, so no search domain is tried."""
    message = dns.message.from_wire(encode_question("a-b.ok.test.", 513))
    assert message.id == 513
    assert message.flags & dns.flags.RD
    assert [rrset.to_text() for rrset in message.question] == ["a-b.ok.test. IN A"]


@pytest.mark.parametrize("host", ["", "a..b", "a" * 64 + ".test", "a." * 130, "\u00fc.test"])
def test_a_name_without_room_is_not_asked_for(host: str) -> None:
    """RFC 1035 section 2.3.4."""
    with pytest.raises((OSError, UnicodeError)):
        encode_question(host, 7)


def test_addresses_are_found_over_aliases() -> None:
    """Only those that the name leads to, kept for the shortest time."""
    message = reply(
        ("OK.test.", 99, "CNAME", "a.test."),
        ("a.test.", 30, "CNAME", "b.test."),
        ("other.test.", 60, "A", "192.0.2.9"),
        ("b.test.", 60, "A", "192.0.2.1"),
        ("b.test.", 60, "A", "192.0.2.2"),
    )
    answer = read_answer(message.to_wire(), QUESTION)
    assert answer == Answer(0, ["192.0.2.1", "192.0.2.2"], 30, is_cut_off=False)


def test_aliases_in_a_circle_end() -> None:
    """They lead to nothing."""
    message = reply(("ok.test.", 9, "CNAME", "a.test."), ("a.test.", 9, "CNAME", "ok.test."))
    assert read_answer(message.to_wire(), QUESTION).addresses == []


def test_codes_and_cut_answers_are_told() -> None:
    """Who asked decides what to do."""
    message = reply()
    message.set_rcode(dns.rcode.NXDOMAIN)
    assert read_answer(message.to_wire(), QUESTION).code == 3
    message.flags |= dns.flags.TC
    assert read_answer(message.to_wire(), QUESTION).is_cut_off


@pytest.mark.parametrize("other", [encode_question("no.test", 7), encode_question("ok.test", 8)])
def test_an_answer_to_another_question_is_none(other: bytes) -> None:
    """Neither by its number nor by its name."""
    message = reply(("ok.test.", 9, "A", "192.0.2.1"))
    with pytest.raises(BadAnswerError):
        read_answer(message.to_wire(), other)
    with pytest.raises(BadAnswerError):
        read_answer(QUESTION, QUESTION)


def test_a_name_that_points_to_itself_ends() -> None:
    """RFC 1035 section 4.1.4: a pointer leads backwards; one that does not leads nowhere."""
    data = bytearray(reply(("ok.test.", 9, "A", "192.0.2.1")).to_wire())
    at = len(QUESTION)
    data[at : at + 2] = bytes([0xC0, at])
    with pytest.raises(BadAnswerError):
        read_answer(bytes(data), QUESTION)


@pytest.mark.parametrize(
    "kind", [("A", "192.0.2.1"), ("CNAME", "ok.test."), ("TXT", "x")], ids=["A", "CNAME", "TXT"]
)
def test_an_answer_that_is_cut_anywhere_is_none(kind: tuple[str, str]) -> None:
    """A record's data that is not all there counts as little as one without a head (found by the fuzz)."""
    data = reply(("ok.test.", 9, *kind)).to_wire()
    for end in range(len(data)):
        with pytest.raises(BadAnswerError):
            read_answer(data[:end], QUESTION)
    assert read_answer(data, QUESTION).code == 0


@given(st.binary(max_size=80), st.integers(0, 40))
def test_any_bytes_are_an_answer_or_none(tail: bytes, records: int) -> None:
    """Nothing else is raised."""
    start = (7).to_bytes(2) + b"\x81\x80\0\1" + records.to_bytes(2) + bytes(4) + QUESTION[12:]
    with contextlib.suppress(BadAnswerError):
        assert isinstance(read_answer(start + tail, QUESTION), Answer)
