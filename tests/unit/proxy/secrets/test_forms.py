"""The shapes of a secret, whole texts: what is recognised, and what its text form shows."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from proxy.policy.reasons import ReasonCode
from proxy.secrets.forms import SecretForms, find_form, find_in_name, open_length, unescape

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


@pytest.mark.parametrize(
    ("text", "plain"), [(rb"%41\u0042\x43\/\"\\n\n%4", b'ABC/"\\n\n%4'), (b"a%zz", b"a%zz"), (b"abc", b"abc")]
)
def test_escapes_are_undone_once(text: bytes, plain: bytes) -> None:
    """What is no escape stays as it is."""
    assert plain == unescape(text)


@pytest.mark.parametrize(
    ("text", "length"),
    [(b"xxab", 2), (b"xabcabcd", 0), (b"xabcabc", 6), (b"abcabcd", 0), (b"aba", 1), (b"", 0), (b"abcab", 5)],
)
def test_open_length_is_the_longest_beginning_at_the_end(text: bytes, length: int) -> None:
    """A whole match is no beginning of one."""
    assert length == open_length(text, b"abcabcd")
