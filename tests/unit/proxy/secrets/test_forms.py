"""The shapes of a secret, whole texts: what is recognised, and what its text form shows."""

from __future__ import annotations

import base64
import json
import random
import string
from urllib.parse import quote

import pytest

from proxy.policy.reasons import ReasonCode
from proxy.secrets.forms import (
    SEGMENT_BYTES,
    SecretForms,
    find_form,
    find_in_name,
    forget_searches,
    search_of,
)

VALUE = 'sk_live_aB3/+x="q Z9\\'
FORMS = SecretForms.of("STRIPE_KEY", VALUE, ReasonCode.SECRET_LEAK)
RAW = VALUE.encode()
assert FORMS is not None

SHAPES = {
    "as it is": RAW,
    "percent, lower case": "".join(f"%{byte:02x}" for byte in RAW).encode(),
    "percent, where needed": quote(VALUE, safe="").encode(),
    "percent in part": b"%73k_live%5F" + quote(VALUE[8:]).encode(),
    "percent twice": quote(quote(VALUE, safe=""), safe="").encode(),
    "percent twice, every letter": "".join(f"%25{byte:02X}" for byte in RAW).encode(),
    "a form's space": quote(VALUE, safe=" ").replace(" ", "+").encode(),
    "a JSON string": json.dumps({"k": VALUE}).encode(),
    "a JSON string in a JSON string": json.dumps(json.dumps(VALUE)).encode(),
    "JSON's number escapes": "".join(f"\\u{byte:04X}" for byte in RAW).encode(),
    "a string's byte escapes": "".join(f"\\x{byte:02x}" for byte in RAW).encode(),
    "hex": RAW.hex().encode(),
    "hex in capitals": RAW.hex().upper().encode(),
    "base64": base64.b64encode(RAW),
    "base64 behind one byte": base64.b64encode(b"\xff" + RAW + b"\xfe"),
    "base64 behind two bytes": base64.b64encode(b"\xff\xff" + RAW + b"\xfe\xfe"),
    "base64 for addresses": base64.urlsafe_b64encode(b"?" + RAW).rstrip(b"="),
    "base64, escaped": quote(base64.b64encode(RAW), safe="").encode(),
    "base64 in lines": b"\r\n  ".join(base64.b64encode(RAW)[i : i + 8] for i in range(0, 40, 8)),
    "a Basic pair": base64.b64encode(b"user:" + RAW),
}


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES.keys())
def test_a_shape_is_found(text: bytes) -> None:
    """Each promised shape is recognised inside other text."""
    assert find_form([FORMS], b'{"a": "' + text + b'"}') is FORMS


@pytest.mark.parametrize("text", [RAW[:-1], RAW[1:], RAW.lower(), RAW[::-1], base64.b64encode(RAW[:-1]), b""])
def test_what_is_not_the_value_is_not_found(text: bytes) -> None:
    """A piece of it, another case, its mirror: stated as not caught, and no false alarm."""
    assert find_form([FORMS], text) is None


def test_nothing_is_found_without_anything_to_look_for() -> None:
    """A sandbox without secrets is never refused for one."""
    assert find_form([], RAW) is None


def test_a_short_value_is_not_looked_for() -> None:
    """It would stand in ordinary text by chance."""
    assert SecretForms.of("PIN", "1234567\n", ReasonCode.SECRET_LEAK) is None


def test_white_space_around_a_value_does_not_count() -> None:
    """A file's last newline is not what an agent sends."""
    forms = SecretForms.of("K", " value-1234\n", ReasonCode.SECRET_LEAK)
    assert find_form([forms], base64.b64encode(b"value-1234")) is forms


@pytest.mark.parametrize(
    "host",
    [
        "sk-live-0123456789abcdef.evil.test",
        "SK-LIVE-0123456789ABCDEF.evil.test",
        "sk-live-01234.56789abcdef.evil.test",
        b"sk-live-0123456789abcdef".hex() + ".evil.test",
        base64.b64encode(b"sk-live-0123456789abcdef").decode().lower() + ".evil.test",
    ],
)
def test_a_name_has_neither_case_nor_room(host: str) -> None:
    """A value in a host name is found in any case, cut into labels, in hex and in base64 without its case."""
    forms = SecretForms.of("K", "sk-live-0123456789abcdef", ReasonCode.SECRET_LEAK)
    assert find_in_name([forms], host) is forms
    assert find_in_name([forms], "ok.test") is None
    assert find_in_name([forms], "no name \udcff") is None


def test_the_value_is_in_no_text_form() -> None:
    """A logged form shows the name only."""
    assert "STRIPE_KEY" in repr(FORMS)
    assert not any(
        shape.decode() in repr(FORMS) for shape in (RAW, RAW.hex().encode(), base64.b64encode(RAW))
    )


# -- what is derived ---------------------------------------------------------------------------------

PLAIN = "sk-live_0123456789.abcdef~"
LONG = "".join(random.Random(7).choices(string.printable[:94], k=16 << 10))


def test_a_form_is_derived_for_both_alphabets_and_alignments() -> None:
    """Base64 and hex hold the value, and each spelling of it, at any place."""
    forms = SecretForms.of("K", PLAIN, ReasonCode.SECRET_LEAK)
    assert forms.plain == (PLAIN.encode(),)
    assert forms.form == ()
    assert PLAIN.encode().hex().encode() in forms.hexed
    for shift in range(3):
        text = base64.b64encode(b"\xff" * shift + PLAIN.encode() + b"\xff")
        assert any(form in text for form in forms.base64)


@pytest.mark.parametrize("at", [0, 5000, 15000])
def test_a_long_value_in_base64_or_hex_is_found_by_each_piece_of_it(at: int) -> None:
    """So what is looked for stays short, and what holds two KiB of it holds a piece."""
    forms = SecretForms.of("K", LONG, ReasonCode.SECRET_LEAK)
    part = LONG.encode()[at : at + (2 << 10)]
    assert find_form([forms], base64.b64encode(b"a" + part)) is forms
    assert find_form([forms], part.hex().upper().encode()) is forms
    assert find_form([forms], part) is None
    assert max(map(len, (*forms.base64, *forms.hexed))) <= 2 * SEGMENT_BYTES


def test_what_is_derived_is_bounded_whatever_the_value() -> None:
    """A value that any writer escapes costs no more than a fixed number of forms, made of a bounded text."""
    for value in (LONG, '%25\\"&amp;/+ =<>' * 900):
        forms = SecretForms.of("K", value[: 16 << 10], ReasonCode.SECRET_LEAK)
        every = [*forms.plain, *forms.form, *forms.base64, *forms.hexed]
        assert len(every) < 600
        assert sum(map(len, every)) < 1 << 20


def test_a_value_that_looks_escaped_is_found_among_escapes() -> None:
    """What undoes the escapes around it undoes its own with them."""
    value = "a%41\\n&amp;\\u0041-zz/+"
    forms = SecretForms.of("K", value, ReasonCode.SECRET_LEAK)
    for text in (json.dumps(value), json.dumps(json.dumps(value)), quote(json.dumps(value))):
        assert find_form([forms], text.encode()) is forms


def test_a_search_is_made_once_and_not_kept_for_ever() -> None:
    """Each request asks for one; nothing is kept of secrets that are gone."""
    assert search_of((FORMS,)) is search_of((FORMS,))
    forget_searches()
    assert search_of.cache_info().currsize == 0


def test_forms_are_told_apart_by_identity() -> None:
    """So that asking for a search costs nothing."""
    assert SecretForms.of("K", VALUE, ReasonCode.SECRET_LEAK) != SecretForms.of(
        "K", VALUE, ReasonCode.SECRET_LEAK
    )


@pytest.mark.parametrize(("line", "is_known"), [(" a-line-of-it ", True), ("short", False)])
def test_a_line_is_looked_for_as_it_is(line: str, is_known: bool) -> None:
    """Of a value's lines only what stands in a text, escaped or not."""
    forms = SecretForms.of_line("K", line, ReasonCode.SECRET_LEAK)
    assert (forms is not None) is is_known
    if forms is not None:
        assert find_form([forms], b"x a%2Dline-of-it x") is forms
        assert find_form([forms], base64.b64encode(b"a-line-of-it")) is None
