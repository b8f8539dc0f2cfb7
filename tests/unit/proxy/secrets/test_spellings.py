"""The catalogue: what it holds, and that tripwire, scrubber and redactor each find all of it, however cut."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import groupby

import pytest

from proxy.policy.reasons import ReasonCode
from proxy.secrets.escapes import DEPTH, readings
from proxy.secrets.forms import SecretForms, find_form
from proxy.secrets.leak_scan import LeakError, LeakScan
from proxy.secrets.scrub import Reflection, StreamScrub
from proxy.secrets.spellings import SPELLINGS, catalogue
from runtime.keys.redactor import MASK, Redactor, StreamMask

LETTERS = "abcXYZ0189-_./+=&<>\"\\'% ~#;:@\n\té߿漢😀"
BEFORE, BEHIND = b'<a> = "', b'" </a>'


def random_value(seed: int, alphabet: str = LETTERS, size: int = 12) -> str:
    """A value that no stripping shortens, and that what is behind it completes no escape of."""
    rng = random.Random(seed)
    return "k" + "".join(rng.choices(alphabet, k=size)) + "z"


VALUES = [random_value(seed) for seed in range(1, 6)] + [
    random_value(9, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 40),
    random_value(10, "/+=", 16),
    "k%41\\n&amp;<b>\\u0041 +%2541z",
    'k&<>"\\/+=é漢z',
]


def test_each_spelling_has_a_name_of_its_own() -> None:
    """A table without doublets, the value itself first."""
    assert len({row.name for row in SPELLINGS}) == len(SPELLINGS)
    assert SPELLINGS[0].spell(b"a/b") == [b"a/b"]


@pytest.mark.parametrize(
    "text",
    [
        b"ab%2Fc%2B%3D",
        b"ab%2fc%2b%3d",
        b"ab/c%2B%3D",
        b"ab\\/c+=",
        b"ab/c\\u002B=",
        b"YWIvYys9",
        b"61622f632b3d",
        b"61622F632B3D",
        b"a\0b\0/\0c\0+\0=\0",
        b"\0a\0b\0/\0c\0+\0=",
        b"%61%62%2f%63%2b%3d",
        b"ab%252Fc%252B%253D",
        b"YWIlMkZjJTJCJTNE",  # base64 of percent
        b"YQBiAC8AYwArAD0A",  # base64 of UTF-16, as PowerShell has it
        b"5957497659797339",  # hex of base64
        b"NjE2MjJmNjMyYjNk",  # base64 of hex
    ],
)
def test_the_catalogue_has_what_writers_write(text: bytes) -> None:
    """Spelt out here by hand: once, and once in one another."""
    assert text in {written for _, written in catalogue("ab/c+=")}


def every_way(values: Iterable[str]) -> list[tuple[str, str, bytes]]:
    """Value, name and text of all that is in the catalogue."""
    return [(value, name, text) for value in values for name, text in catalogue(value)]


class Users:
    """The three that are to find a value, over a text in pieces."""

    def __init__(self, value: str) -> None:
        form = SecretForms.of("K", value, ReasonCode.SECRET_LEAK)
        assert form is not None
        self._value = value
        self._forms = (form,)
        self._reflection = Reflection(self._forms, {})
        self._redact = Redactor([value])

    def check(self, pieces: list[bytes]) -> None:
        """Nobody lets a spelling pass, and what is around it does."""
        whole = b"".join(pieces)
        self._is_refused(pieces)
        for stream in (StreamScrub(self._reflection), StreamMask(self._redact)):
            out = b"".join(stream.feed(piece) for piece in pieces) + stream.finish()
            assert out.startswith(BEFORE)
            assert out.endswith(BEHIND)
            assert find_form(self._forms, out) is None
            assert MASK.encode() in out
            rest = out.removeprefix(BEFORE).removesuffix(BEHIND)
            if isinstance(stream, StreamScrub):
                assert len(out) == len(whole)
            clear = len(rest.replace(b"*", b""))
            assert clear <= max(48, len(rest) // 4)  # of base64 a letter at each end, escaped as may be

    def _is_refused(self, pieces: list[bytes]) -> None:
        scan, out = LeakScan(self._forms), b""
        try:
            for piece in pieces:
                out += scan.feed(piece)
            scan.finish()
        except LeakError:
            pass
        else:
            pytest.fail("nothing was found")
        assert find_form(self._forms, out) is None
        assert not any(self._value.encode()[:4] in reading for reading in readings(out))


@pytest.mark.parametrize("value", VALUES)
def test_every_spelling_is_found_by_all_three(value: str) -> None:
    """Each way, and each in each other, cut at a place of chance; of most values every third, to save time."""
    users, rng = Users(value), random.Random(len(value))
    start, step = (0, 1) if value == VALUES[-1] else (VALUES.index(value) % 3, 3)
    for _, text in [*catalogue(value)][start::step]:
        at = rng.randint(0, len(text))
        users.check([BEFORE + text[:at], text[at:] + BEHIND])


@pytest.mark.parametrize("value", [VALUES[0], VALUES[-1]])
def test_every_spelling_is_found_at_every_cut(value: str) -> None:
    """Of the simple ones all, of those in one another some of chance; also byte by byte."""
    users, rng = Users(value), random.Random(len(value))
    ways = [(name, [*texts]) for name, texts in groupby(catalogue(value), key=lambda way: way[0])]
    simple, nested = ways[: len(SPELLINGS)], ways[len(SPELLINGS) :]
    chosen = [rng.choice(texts)[1] for _, texts in simple] + [
        rng.choice(texts)[1] for _, texts in rng.sample(nested, 5)
    ]
    for text in chosen:
        for at in range(len(text) + 1):
            users.check([BEFORE + text[:at], text[at:] + BEHIND])
        users.check([bytes([byte]) for byte in BEFORE + text + BEHIND])


def test_the_depth_is_enough_for_two_codings() -> None:
    """One more than two, for a value that itself looks escaped."""
    assert DEPTH == 3
