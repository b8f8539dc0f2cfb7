"""The search: places in the text as it came, beginnings at its end, and bounded work."""

from __future__ import annotations

import base64

import pytest

from proxy.policy.reasons import ReasonCode
from proxy.secrets.forms import SecretForms, make_search

VALUE = 'k-1/+ "é<&0123456789'
FORMS = SecretForms.of("K", VALUE, ReasonCode.SECRET_LEAK)
assert FORMS is not None
SEARCH = make_search([FORMS])
RAW = VALUE.encode()
CORE = base64.b64encode(RAW)[: len(RAW) * 8 // 6]


@pytest.mark.parametrize(
    "written",
    [
        RAW,
        b"k-1%2f%2B%20%22%c3%a9%3C&amp;0123456789",
        b'k-1\\/+ \\"\\u00e9\\u003c\\u00260123456789',
        b"k-1%252f%252B+%2522%25c3%25a9%253C%26amp%3B0123456789",
        CORE,
        CORE[:9] + b"\r\n\t " + CORE[9:],
        CORE[:9] + b"\\n" + CORE[9:],
        RAW.hex().upper().encode(),
        VALUE.encode("utf-16-le").rstrip(b"\0"),
    ],
)
@pytest.mark.parametrize("around", [(b"=", b"="), (b"%3D\0", b"\\n"), (b"\xff\xc3\xa9&amp;", b"&gt;")])
def test_a_place_is_that_of_the_text_as_it_came(written: bytes, around: tuple[bytes, bytes]) -> None:
    """Whatever escapes stand before it and in it."""
    before, behind = around
    spans = SEARCH.spans(before + written + behind)
    assert {(span.start, span.end) for span in spans} == {(len(before), len(before) + len(written))}
    assert {span.owner for span in spans} == {FORMS}
    assert [span.is_plain for span in spans] == [written == RAW]
    assert SEARCH.find(before + written + behind) is FORMS


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        (b"= k-1%2", b"k-1%2"),
        (b"= k-1%252", b"k-1%252"),
        (b"= k-1\\/+ \\", b"k-1\\/+ \\"),
        (b"= k-1&s", b"k-1&s"),
        (b"= " + CORE[:12], CORE[:12]),
        (b"= " + CORE[:12] + b"\n", CORE[:12] + b"\n"),
        (b"= " + CORE[:3] + b"\n", b""),
        (b"= " + RAW.hex().upper().encode()[:9], RAW.hex().upper().encode()[:9]),
        (b"= " + RAW + b"=", b""),
        (b"= nothing.", b""),
    ],
)
def test_what_is_open_is_where_a_value_may_begin(text: bytes, opened: bytes) -> None:
    """Of base64 before a line's end only from some letters on, where that is asked for."""
    assert text[SEARCH.open_from(text, letters_before_space=8) :] == opened


def test_a_few_letters_before_a_lines_end_are_open_for_who_asks_for_it() -> None:
    """What leaves a sandbox is looked at as strictly as can be."""
    text = b"= " + CORE[:3] + b"\n"
    assert text[SEARCH.open_from(text) :] == CORE[:3] + b"\n"


def test_no_more_is_open_than_the_window() -> None:
    """White space without an end does not fill the memory."""
    text = CORE[:12] + b" " * (2 * SEARCH.longest)
    assert SEARCH.open_from(text) >= len(text) - SEARCH.longest


def test_without_needles_there_is_nothing() -> None:
    """Nothing is found, and nothing is open."""
    search = make_search([])
    assert (search.find(RAW), search.spans(RAW), search.open_from(RAW)) == (None, [], len(RAW))
