"""The shapes of a secret, whole texts: what is recognised, and what its text form shows."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from proxy.contract.grant import GrantSecret
from proxy.policy.bindings import Binding
from proxy.policy.model import Decision
from proxy.policy.reasons import ReasonCode
from proxy.secrets.broker import Head, broker, forms_of
from proxy.secrets.forms import (
    SPELLINGS,
    SecretForms,
    Spelling,
    Use,
    find_form,
    find_in_name,
    open_length,
    spelled,
    unescape,
)
from proxy.secrets.leak_scan import LeakError, LeakScan
from proxy.secrets.scrub import Reflection, StreamScrub

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


# -- the table -------------------------------------------------------------------------------------

WORST = "k-1/+ \"é\\<&=%2f'`~0123456789abcdef"
PLAIN = "sk-live_0123456789.abcdef~"


UNBOUND = Binding(*[frozenset()] * 5)


def pour(scan: LeakScan | StreamScrub, raw: bytes) -> bytes:
    """What comes out of it in pieces."""
    return b"".join(scan.feed(raw[at : at + 5]) for at in range(0, len(raw), 5)) + scan.finish()


def rows(use: Use) -> list[Spelling]:
    """Those that a user is to find."""
    return [row for row in SPELLINGS if use in row.uses]


@pytest.mark.parametrize("value", [WORST, PLAIN], ids=["worst", "plain"])
@pytest.mark.parametrize("row", rows(Use.FIND), ids=lambda row: row.name)
def test_every_spelling_of_the_table_is_found_in_a_request(row: Spelling, value: str) -> None:
    """By the search itself, by the tripwire in pieces of a body, and by the broker in a header."""
    secret = GrantSecret("DB", value)
    forms = forms_of([secret])
    for form in row.spell(value):
        raw = form.encode()
        assert find_form(forms, b"a=" + raw + b";") is forms[0]
        with pytest.raises(LeakError):
            pour(LeakScan(forms), raw)
        head = Head("/", (("x-note", raw.decode("latin-1")),))
        refusal = broker(head, UNBOUND, [secret], forms=forms, host="a.test", rule_id=None)
        assert isinstance(refusal, Decision)
        assert refusal.reason_code is ReasonCode.SECRET_LEAK


@pytest.mark.parametrize("value", [WORST.replace("é", "e"), PLAIN], ids=["worst", "plain"])
@pytest.mark.parametrize("row", rows(Use.SCRUB), ids=lambda row: row.name)
def test_every_spelling_of_the_table_is_scrubbed_from_an_answer(row: Spelling, value: str) -> None:
    """At its length, in pieces too; a brokered value has no letter beyond ASCII."""
    reflection = Reflection.of([GrantSecret("KEY", value, "placeholder-0123456789-0123456789")])
    for form in row.spell(value):
        raw = form.encode()
        assert pour(StreamScrub(reflection), raw) == b"*" * len(raw)


@pytest.mark.parametrize("row", [row for row in SPELLINGS if row.is_escape], ids=lambda row: row.name)
def test_a_spelling_that_escapes_leaves_letters_and_digits_as_they_are(row: Spelling) -> None:
    """So most keys have few forms, and an answer is searched for few."""
    assert {*row.spell(PLAIN)} == {PLAIN}


def test_a_value_of_letters_and_digits_has_few_forms() -> None:
    """What is searched for in each piece of a body stays as little as it was."""
    forms = SecretForms.of("K", PLAIN, ReasonCode.SECRET_LEAK)
    assert (forms.plain, forms.longest) == ((PLAIN.encode(),), 6 * 2 * len(PLAIN))
    assert len(spelled(PLAIN, Use.SCRUB)) <= 1 + 6 + 2


def test_the_window_does_not_grow_with_escapes() -> None:
    """A value that any writer would escape is searched for in no more bytes than its hex needs."""
    forms = SecretForms.of("K", "&<>\"'" * 10, ReasonCode.SECRET_LEAK)
    assert forms.longest == 6 * 2 * 50


def test_every_spelling_has_a_user_and_a_name_of_its_own() -> None:
    """A row that nobody looks for would be for nothing."""
    assert all(row.uses for row in SPELLINGS)
    assert len({row.name for row in SPELLINGS}) == len(SPELLINGS)
