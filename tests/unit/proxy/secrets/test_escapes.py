"""Escapes: undone once and again, and every byte's place in the text that it was made of."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.secrets.escapes import DEPTH, Origin, partial_from, readings, unescape

TEXTS = st.lists(
    st.sampled_from(
        [
            *"aé%&u0x4;+\\\0",
            *("%41", "%25", "%00", r"\\", r"\u0041", r"\u0000", r"\ud83d\ude00", r"\ud83d", r"\x41", r"\n"),
            *("&amp;", "&#65;", "&#x41;", "&#0;"),
        ]
    ),
    max_size=30,
).map(lambda parts: "".join(parts).encode())


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (rb"%41\u0042\x43\/\"\\n\n%4", b'ABC/"\\n\n%4'),
        (rb"a%zz \q &no; &amp &#; &#xzz;", rb"a%zz \q &no; &amp &#; &#xzz;"),
        (rb"%2f%2F \u002f \u002F \x2f \'", b"// / / / '"),
        (rb"\u00e9 \u6f22 \ud83d\ude00", "é 漢 😀".encode()),
        (rb"&amp;&lt;&gt;&quot;&apos;&#39;&#x27;&sol;&plus;&#x6F22;", "&<>\"'''/+漢".encode()),
        (b"s\0k\0-\0%00\\u0000", b"sk-"),
        (b"&#1114112; &#9999999;", b"&#1114112; &#9999999;"),
        (b"abc", b"abc"),
    ],
    ids=["each kind", "none", "either case", "beyond ASCII", "HTML", "NUL", "beyond Unicode", "plain"],
)
def test_escapes_are_undone_once(text: bytes, plain: bytes) -> None:
    """What is no escape stays as it is."""
    assert plain == unescape(text)


def test_readings_go_on_as_long_as_something_is_undone() -> None:
    """Up to a depth, so that the work is bounded."""
    assert list(readings(b"%2541")) == [b"%2541", b"%41", b"A"]
    assert len(list(readings(b"%" + b"25" * 10 + b"41"))) == 1 + DEPTH
    assert list(readings(b"abc")) == [b"abc"]


@pytest.mark.parametrize(
    ("text", "partial"),
    [
        (b"a%", b"%"),
        (b"a%4", b"%4"),
        (b"a\\", b"\\"),
        (b"a\\u00", b"\\u00"),
        (b"a\\x4", b"\\x4"),
        (b"a\\ud83d", b"\\ud83d"),
        (b"a\\ud83d\\u", b"\\ud83d\\u"),
        (b"a&", b"&"),
        (b"a&quo", b"&quo"),
        (b"a&#x2", b"&#x2"),
        (b"a%41", b""),
        (b"a&amp;", b""),
        (b"a&b c", b""),
        (b"", b""),
    ],
)
def test_an_escape_that_is_cut_is_known_by_its_beginning(text: bytes, partial: bytes) -> None:
    """The next piece of a stream may complete it."""
    assert text[partial_from(text) :] == partial


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_every_byte_has_its_place_in_the_source(source: bytes) -> None:
    """What stands at a byte's place means that byte, and places are in order."""
    origin, plain = Origin(source), unescape(source)
    at = 0
    for number in range(len(plain)):
        begin, end = origin.begin(number), origin.end(number + 1)
        assert at <= begin < end <= len(source)
        assert plain[number : number + 1] in unescape(source[begin:end])
        at = begin
    assert all(
        unescape(source[origin.begin(n) :]) == plain[n:] or plain[n] >= 0x80 for n in range(len(plain))
    )
