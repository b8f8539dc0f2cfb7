"""The redactor: a value is masked in every spelling, in texts, streams and documents, and nothing else is."""

from __future__ import annotations

import json

import pytest

from runtime.keys.redactor import MASK, MAX_DEPTH, Redactor, StreamMask, too_short
from runtime.model.secret import Secret

VALUE = "k-1/+ \"é\\<&=%2f'`~"


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        "k-1%2F%2B%20%22%C3%A9%5C%3C%26%3D%252f%27%60~",
        "k-1%2f%2b%20%22%c3%a9%5c%3c%26%3d%252f%27%60~",
        "k-1/%2B+%22%C3%A9%5C%3C%26=%252f'%60~",
        'k-1\\/+ \\"\\u00e9\\\\\\u003c\\u0026=%2f\\u0027`~',
        "k-1/+ &quot;é\\&lt;&amp;=%2f&#39;`~",
    ],
)
def test_a_spelling_is_masked_whole(form: str) -> None:
    """As `quote`, a form, PHP, Go and HTML write it; what is around it stays."""
    assert Redactor([VALUE])(f"a {form} b") == f"a {MASK} b"


def test_a_value_is_masked_with_and_without_the_white_space_around_it() -> None:
    """A file's last newline is not what an agent prints."""
    redact = Redactor([" first-line\nsecond-line\n"])
    assert redact("first-line\nsecond-line") == MASK
    assert redact("second-line, ok") == f"{MASK}, ok"


def test_values_that_overlap_are_masked_as_one() -> None:
    """No rest of the second is left when the first has been taken out."""
    redact = Redactor(["abcdefgh-ijkl", "gh-ijklmnopq", "ijklmnopq-rest"])
    assert redact("x abcdefgh-ijklmnopq-rest y") == f"x {MASK} y"
    assert redact("x abcdefgh-ijkl, gh-ijklmnopq y") == f"x {MASK}, {MASK} y"


@pytest.mark.parametrize("value", ["true", "1234567", "", "  short  ", "çédilla"])
def test_a_short_value_is_not_masked(value: str) -> None:
    """It stands in ordinary text by chance: `{"ok": true}` would be no JSON any more."""
    redact = Redactor([value])
    assert redact(f"a {value} b") == f"a {value} b"
    assert redact.document({"ok": True, "n": 1234567}) == {"ok": True, "n": 1234567}


def test_who_is_not_masked_is_named() -> None:
    """So that a caller can be told."""
    secrets = {"DRY_RUN": Secret("true"), "KEY": Secret("12345678"), "PIN": Secret(" 1234567\n")}
    assert too_short(secrets) == ["DRY_RUN", "PIN"]


def test_a_document_is_masked_in_its_keys_texts_and_numbers() -> None:
    """Whatever is no part of a value stays as it is, of its type."""
    redact = Redactor(["a-value/of&it", "12345678"])
    document = {
        "a-value/of&it": [None, True, 1, "x a-value/of&it", {"in": {"deep": "12345678"}}],
        "n": 912345678,
        "f": 12345678.5,
        "other": 87654321,
    }
    assert redact.document(document) == {
        MASK: [None, True, 1, f"x {MASK}", {"in": {"deep": MASK}}],
        "n": f"9{MASK}",
        "f": f"{MASK}.5",
        "other": 87654321,
    }


def test_two_texts_of_a_document_make_no_value_together() -> None:
    """Each stands alone, in base64 without its white space too."""
    document = ["a-value-", "of-it", "YS12YWx1", "ZS1vZi1pdA=="]
    assert Redactor(["a-value-of-it"]).document(document) == document


def test_a_document_that_is_nested_too_deep_is_refused() -> None:
    """Its text is masked in its place; nothing recurses without end."""
    redact = Redactor(["a-value-of-it"])
    deep = json.loads("[" * (MAX_DEPTH - 1) + '"a-value-of-it"' + "]" * (MAX_DEPTH - 1))
    assert MASK in json.dumps(redact.document(deep))
    with pytest.raises(ValueError, match="deep"):
        redact.document([deep])


def test_half_of_a_surrogate_pair_stays() -> None:
    """An agent's text may hold one; it goes through as it is."""
    assert Redactor(["a-value-of-it"])("\ud83d a-value-of-it \ude00") == f"\ud83d {MASK} \ude00"


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_stream_is_masked_over_its_pieces(size: int) -> None:
    """One mask for each value, however it is cut; a value that is learnt on the way counts at once."""
    mask = StreamMask(redact := Redactor(["a-value-of-it"]))
    redact.add("another-value")
    text = b"1 a-value-of-it 2 YW5vdGhlci12YWx1ZQ== 3 another-value a-value-of-"
    out = b"".join(mask.feed(text[at : at + size]) for at in range(0, len(text), size)) + mask.finish()
    assert out == b"1 *** 2 ***Q== 3 *** a-value-of-"
