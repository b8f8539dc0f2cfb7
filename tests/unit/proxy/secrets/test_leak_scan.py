"""Secrets in a stream: found in any pieces, nothing of them let out, nothing else kept back."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.reasons import ReasonCode
from proxy.secrets.forms import SecretForms, search_of
from proxy.secrets.leak_scan import LeakError, LeakScan
from tests.unit.proxy.secrets.test_forms import FORMS, RAW, SHAPES, VALUE


def pour(scan: LeakScan, body: bytes, size: int) -> bytes:
    """What comes out of a scan that is fed pieces of `size`; with what got out, on a leak."""
    out = bytearray()
    try:
        for at in range(0, len(body), size):
            out += scan.feed(body[at : at + size])
        out += scan.finish()
    except LeakError as exc:
        exc.args = (bytes(out),)
        raise
    return bytes(out)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_over_any_pieces_is_cut_before_it_begins_to_leave(shape: str, size: int) -> None:
    """No byte of a form leaves; base64's first letters, which other bytes decide too, may."""
    before, form = b"some text before = ", SHAPES[shape]
    with pytest.raises(LeakError) as caught:
        pour(LeakScan([FORMS]), before + form + b" and behind", size)

    assert caught.value.found is FORMS
    begins = 20 if "JSON string" in shape or "base64" in shape or "Basic" in shape else 0
    assert len(caught.value.args[0]) <= len(before) + begins
    assert VALUE not in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='ab%\\sk_live5\n 0u"+', max_size=200), st.integers(1, 9))
def test_what_holds_no_secret_comes_out_as_it_went_in(text: str, size: int) -> None:
    """Every byte, in order, at the latest at the end."""
    body = text.encode()
    assert body == pour(LeakScan([FORMS]), body, size)


@pytest.mark.parametrize("ending", [b"\n\n", b"}", b"data: token\n\n", b"sk_lively", b"73", b"%20"])
def test_an_ordinary_end_is_not_kept_back(ending: bytes) -> None:
    """A message whose end begins no form leaves at once."""
    scan = LeakScan([FORMS])
    assert scan.feed(b"message" + ending + b".") == b"message" + ending + b"."
    assert not scan.is_holding


@pytest.mark.parametrize(
    ("piece", "held"),
    [
        (b"= sk_li", b"sk_li"),
        (b"= %7", b"%7"),
        (b"= %73%6b", b"%73%6b"),
        (b"= %2573%25", b"%2573%25"),
        (b"= \\u0", b"\\u0"),
        (b"= sk&#x5", b"sk&#x5"),
        (b"= s\0k\0", b"s\0k\0"),
    ],
)
def test_a_beginning_waits_for_what_comes_next(piece: bytes, held: bytes) -> None:
    """Only the beginning waits, and goes on once it is none."""
    scan = LeakScan([FORMS])
    assert scan.feed(piece) == piece.removesuffix(held)
    assert scan.is_holding
    assert scan.feed(b" .") == held + b" ."


def test_base64_that_waits_waits_with_its_white_space() -> None:
    """Letters are counted, not the line ends between them."""
    start = SHAPES["base64 in lines"][:14]
    scan = LeakScan([FORMS])
    assert scan.feed(b"x: " + start) == b"x: "
    assert scan.finish() == start


def test_memory_is_bounded() -> None:
    """The scan keeps a window, whatever went by, and however small the pieces."""
    scan = LeakScan([FORMS])
    noise = random.Random(1).randbytes(1 << 16)
    for _ in range(16):
        scan.feed(noise)
    for byte in noise[:5000]:
        scan.feed(bytes([byte]))
    assert len(scan._held) <= search_of((FORMS,)).longest
    white = LeakScan([FORMS])
    white.feed(SHAPES["base64"][:8])
    for _ in range(50):
        white.feed(b"\n" * 4000)
    assert len(white._held) <= 2 * search_of((FORMS,)).longest


def test_without_forms_all_passes() -> None:
    """Nothing to look for costs nothing and holds nothing."""
    scan = LeakScan([])
    assert (scan.feed(RAW), scan.is_holding, scan.finish()) == (RAW, False, b"")


def test_each_of_many_secrets_is_found() -> None:
    """The error names the one that was found."""
    forms = [SecretForms.of(f"K{n}", f"value-{n}-{n * 7919:08x}", ReasonCode.SECRET_LEAK) for n in range(20)]
    for wanted in forms:
        with pytest.raises(LeakError) as caught:
            pour(LeakScan(forms), b"a=" + wanted.plain[0] + b"&", 5)
        assert caught.value.found is wanted
