"""What an upstream reflects: every shape is taken out, over any pieces, at the same length, without delay."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.contract.grant import GrantSecret
from proxy.secrets.scrub import Reflection, StreamScrub

VALUE = "sk-proj-TRUE_value-of_the-key-0123456789?>~"
SECRET = GrantSecret("OPENAI_API_KEY", VALUE, "sk-placeholder-0123456789")
SAME_LENGTH = GrantSecret("GEMINI_API_KEY", "AIza" + "t" * 35, "AIza" + "p" * 35)
REFLECTION = Reflection.of([SECRET, SAME_LENGTH, GrantSecret("DB", "a-value-of-the-environment")])
SHAPES = {
    "as it is": VALUE.encode(),
    "a Basic pair": base64.b64encode(b"user:" + VALUE.encode()),
    "base64 for addresses": base64.urlsafe_b64encode(b"xx" + VALUE.encode() + b"yyy"),
    "hex": VALUE.encode().hex().encode(),
    "hex in capitals": VALUE.encode().hex().upper().encode(),
}


def pour(body: bytes, size: int) -> bytes:
    """What comes out of pieces of `size`."""
    scrub = StreamScrub(REFLECTION)
    out = b"".join(scrub.feed(body[at : at + size]) for at in range(0, len(body), size))
    return out + scrub.finish()


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_reflected_value_is_taken_out(shape: str, size: int) -> None:
    """Every shape, twice in a row too; what is around it and the length stay."""
    body = b'{"your key": "' + SHAPES[shape] * 2 + b'"}'
    out = pour(body, size)

    assert len(out) == len(body)
    assert (out[:14], out[-2:]) == (body[:14], body[-2:])
    decoded = base64.urlsafe_b64decode(out[14:-2].replace(b"*", b"A") + b"==") if "64" in shape else b""
    assert VALUE.encode() not in out + decoded
    assert out.count(b"*") >= len(VALUE)


def test_a_placeholder_of_the_same_length_takes_the_values_place() -> None:
    """An address with a key in it still works for the client."""
    assert (
        pour(f"https://x.test/?key={SAME_LENGTH.value}".encode(), 7)
        .decode()
        .endswith(SAME_LENGTH.placeholder)
    )


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="sk-proj-TRU*AIzat", max_size=120), st.integers(1, 9))
def test_what_reflects_nothing_stays_as_it_is(text: str, size: int) -> None:
    """Not a byte is changed, lost or moved."""
    assert text.encode() == pour(text.encode(), size)


def test_an_event_is_not_delayed() -> None:
    """The first token goes on at once; only the beginning of the value waits."""
    scrub = StreamScrub(REFLECTION)
    assert scrub.feed(b"data: token\n\n") == b"data: token\n\n"
    assert scrub.feed(b"data: sk-pro") == b"data: "
    assert scrub.feed(b"blem\n\n") == b"sk-problem\n\n"


def test_no_more_is_held_than_the_beginning_of_a_shape() -> None:
    """At most the longest shape less one byte."""
    scrub = StreamScrub(REFLECTION)
    scrub.feed(VALUE.encode()[:-1])
    assert len(scrub._cover._held) == len(VALUE) - 1
    assert scrub.finish() == VALUE.encode()[:-1]


def test_only_brokered_values_are_reflected() -> None:
    """What the sandbox holds anyway is not worth hiding from it; a short value stands in ordinary text."""
    assert Reflection.of([GrantSecret("DB", VALUE), GrantSecret("K", "short", "x" * 20)]).forms == ()


def test_the_value_is_in_no_text_form() -> None:
    """A logged reflection gives nothing away."""
    assert VALUE not in f"{REFLECTION!r} {StreamScrub(REFLECTION)!r}"
