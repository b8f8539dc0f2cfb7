"""What waits: all of it, in order, and looked at a few times however small the pieces are."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable

import pytest

from proxy.policy.reasons import ReasonCode
from proxy.secrets.forms import SecretForms
from proxy.secrets.held import MIN_GROWTH_BYTES, Held
from proxy.secrets.leak_scan import LeakScan
from proxy.secrets.scrub import Reflection, StreamScrub
from proxy.secrets.search import Search
from tests.unit.proxy.secrets.test_forms import VALUE


def test_what_waits_is_taken_in_order() -> None:
    """Once."""
    held = Held()
    held.add(b"ab")
    held.add(b"c")
    assert (len(held), held.is_due, held.take(), held.take()) == (3, True, b"abc", b"")


def test_a_short_rest_is_due_with_each_piece() -> None:
    """An event is not delayed by what is cheap to look at."""
    held = Held()
    held.keep(b"x" * MIN_GROWTH_BYTES)
    held.add(b"y")
    assert held.is_due


def test_a_long_rest_is_due_once_it_has_grown_by_a_quarter() -> None:
    """So the bytes that are looked at, all looks together, are a few times those that came."""
    held, looked_at, came = Held(), 0, 0
    held.keep(b"x" * (MIN_GROWTH_BYTES + 1))
    for _ in range(100_000):
        held.add(b"y")
        came += 1
        if held.is_due:
            text = held.take()
            looked_at += len(text)
            held.keep(text)
    assert came == 100_000
    assert looked_at < 6 * came


# -- the work of who uses it, counted ---------------------------------------------------------------

LONG = "".join(random.Random(5).choices("abcdefghijkl0123456789/+=%&", k=16 << 10))
STREAMS = {
    "escapes": b"%41" * 2_000,
    "a beginning, again and again": VALUE.encode()[:15] * 500,
    "a long beginning, again and again": LONG.encode()[:250] * 40,
    "its beginning in escapes of escapes": b"".join(b"%%25%02x" % byte for byte in LONG.encode()[:1_500]),
    "its beginning in base64": base64.b64encode(LONG.encode())[:1_300] * 8,
    "base64, then white space": base64.b64encode(LONG.encode())[:1_300] + b"\n" * 10_000,
    "itself but for its end": LONG.encode()[:-1],
    "halves of escapes": b"%" * 2_000,
    "text": b"The quick brown fox jumps over the lazy dog. " * 200,
}


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets the length of each text that a search looks at."""
    lengths: list[int] = []

    def count(name: str) -> None:
        own = getattr(Search, name)

        def counting(self: object, text: bytes, **more: object) -> object:
            lengths.append(len(text))
            return own(self, text, **more)

        monkeypatch.setattr(Search, name, counting)

    for name in ("find", "spans", "open_from"):
        count(name)
    return lengths


def leak_scan(form: SecretForms) -> LeakScan:
    """The tripwire's."""
    return LeakScan([form])


def scrub(form: SecretForms) -> StreamScrub:
    """The scrubber's."""
    return StreamScrub(Reflection((form,), {}))


@pytest.mark.parametrize("make", [leak_scan, scrub])
@pytest.mark.parametrize("value", [VALUE, LONG], ids=["a key", "16 KiB"])
@pytest.mark.parametrize("name", STREAMS)
def test_the_work_for_a_byte_is_constant_whatever_the_pieces(
    name: str, value: str, make: Callable[[SecretForms], LeakScan | StreamScrub], looked_at: list[int]
) -> None:
    """A big piece, then pieces of one byte: twice the stream is twice the work, and little for each byte."""
    form = SecretForms.of("K", value, ReasonCode.SECRET_LEAK)
    assert form is not None

    def work(body: bytes) -> int:
        looked_at.clear()
        stream, whole = make(form), len(body) // 2
        out = stream.feed(body[:whole])
        for byte in body[whole:]:
            out += stream.feed(bytes([byte]))
        out += stream.finish()
        assert len(out) == len(body)
        return sum(looked_at)

    body = STREAMS[name]
    short, double = work(body[: len(body) // 2]), work(body)
    assert double <= 3 * short + 10 * MIN_GROWTH_BYTES
    holds_long = value == LONG and "beginning" in name
    assert double <= len(body) * (2 * MIN_GROWTH_BYTES if holds_long else 32)
