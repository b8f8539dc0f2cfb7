"""Many needles at once: what a search one by one would find, whatever their number and length."""

from __future__ import annotations

import random

import pytest

from proxy.secrets.needles import FEW, MAX_STRIDE, WORD, Needles


def words(rng: random.Random, count: int, low: int, high: int) -> list[bytes]:
    """Needles of a small alphabet, so that they overlap and begin alike."""
    return [bytes(rng.choices(b"abc", k=rng.randint(low, high))) for _ in range(count)]


SIZES = [(1, 8, 8), (5, 8, 30), (FEW + 1, 15, 16), (60, 31, 40), (60, 8, 90), (300, 20, 60)]


@pytest.mark.parametrize(("count", "low", "high"), SIZES)
def test_every_needle_is_found_wherever_it_stands(count: int, low: int, high: int) -> None:
    """At each offset to a word's borders, at both ends too."""
    rng = random.Random(count)
    each = words(rng, count, low, high)
    needles = Needles([(needle, number) for number, needle in enumerate(each)])
    for number, needle in enumerate(each):
        before = b"x" * rng.randint(0, 2 * MAX_STRIDE + WORD)
        text = before + needle + b"x" * rng.randint(0, 40)
        assert (len(before), len(before) + len(needle), number) in set(needles.matches(text))
        assert needles.find(text) is not None
        assert needles.find(text.replace(b"b", b"y").replace(b"a", b"y").replace(b"c", b"y")) is None


@pytest.mark.parametrize(("count", "low", "high"), SIZES)
def test_what_is_found_is_what_a_search_one_by_one_finds(count: int, low: int, high: int) -> None:
    """All places, those that overlap too; and where the earliest one begins that the end cuts."""
    rng = random.Random(-count)
    each = words(rng, count, low, high)
    needles = Needles([(needle, needle) for needle in each])
    for _ in range(20):
        text = b"".join(rng.choice([*each, b"a", b"bc", b"x"]) for _ in range(rng.randint(0, 6)))
        text = text[: rng.randint(0, len(text))]
        found = {
            (at, at + len(needle), needle)
            for needle in each
            for at in range(len(text))
            if text.startswith(needle, at)
        }
        opened = [
            at
            for at in range(len(text))
            if any(len(needle) > len(text) - at and needle.startswith(text[at:]) for needle in each)
        ]
        assert set(needles.matches(text)) == found
        assert (needles.find(text) is not None) is bool(found)
        assert needles.open_from(text) == min(opened, default=len(text))


@pytest.mark.parametrize(
    ("text", "length"),
    [(b"xxab", 2), (b"xabcabcd", 0), (b"xabcabc", 6), (b"abcabcd", 0), (b"aba", 1), (b"", 0), (b"abcab", 5)],
)
def test_what_is_open_is_the_longest_beginning_at_the_end(text: bytes, length: int) -> None:
    """A whole match is no beginning of one."""
    assert len(text) - length == Needles([(b"abcabcd", None)]).open_from(text)


def test_without_needles_nothing_is_found() -> None:
    """Nothing to look for costs nothing."""
    needles = Needles[str]([])
    assert (needles.find(b"abc"), list(needles.matches(b"abc")), needles.open_from(b"abc")) == (None, [], 3)
