"""Where in a text secrets stand, in whatever spelling: the one search of tripwire, scrubber and redactor.

A text is read as it is and with its escapes undone (`proxy.secrets.escapes`). Each reading is looked at as it
is, with `+` for a space, as hex of either case, and as base64 of either alphabet without white space.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from proxy.secrets.escapes import DEPTH, Origin, partial_from, readings, unescape
from proxy.secrets.needles import Needles

TO_STANDARD_BASE64 = bytes.maketrans(b"-_", b"+/")
WHITE_SPACE = b" \t\r\n"
_PLUS_TO_SPACE = bytes.maketrans(b"+", b" ")
MAX_GROWTH = 16
"""Bytes that one byte of a needle may take, its escapes being escaped; a text that takes more is let go."""


class Fold(enum.Enum):
    """How a reading is looked at."""

    PLAIN = "plain"
    FORM = "form"
    HEX = "hex"
    BASE64 = "base64"

    def __call__(self, text: bytes) -> bytes:
        """The text so that one needle stands for all its spellings."""
        match self:
            case Fold.PLAIN:
                return text
            case Fold.FORM:
                return text.translate(_PLUS_TO_SPACE)
            case Fold.HEX:
                return text.lower()
            case Fold.BASE64:
                return text.translate(TO_STANDARD_BASE64, WHITE_SPACE)


class Span[Owner](NamedTuple):
    """A place in a text where a spelling of a secret stands."""

    start: int
    end: int
    owner: Owner
    is_plain: bool
    """Whether it stands there as it is."""


class Search[Owner]:
    """Looks for needles, each meant for one fold; an owner stands for its secret."""

    def __init__(self, needles: Mapping[Fold, Iterable[tuple[bytes, Owner]]]) -> None:
        tables = {fold: Needles(needles.get(fold, ())) for fold in Fold}
        self._tables = {fold: table for fold, table in tables.items() if table.each}
        self.longest = MAX_GROWTH * max((table.longest for table in self._tables.values()), default=0)
        """Bytes that the beginning of a needle may take while the rest has not come."""
        self._shortest = min((table.shortest for table in self._tables.values()), default=0)

    def find(self, text: bytes) -> Owner | None:
        """The owner of one of the needles in a text; None where there is none."""
        if len(text) < self._shortest or not self._tables:
            return None
        for reading in readings(text):
            for fold, table in self._tables.items():
                if (owner := table.find(fold(reading))) is not None:
                    return owner
        return None

    def spans(self, text: bytes) -> list[Span[Owner]]:
        """Every place of every needle, in the order of their starts."""
        if len(text) < self._shortest or not self._tables:
            return []
        found: dict[tuple[int, int], Span[Owner]] = {}
        for depth, reading in enumerate(texts := list(readings(text))):
            places = list(self._places(reading))
            origins = [Origin(source) for source in texts[:depth]] if places else []
            for start, end, owner, fold in places:
                for origin in reversed(origins):
                    start, end = origin.begin(start), origin.end(end)  # noqa: PLW2901 - one level at a time
                is_plain = depth == 0 and fold is Fold.PLAIN
                found.setdefault((start, end), Span(start, end, owner, is_plain))
        return sorted(found.values(), key=lambda span: span[:2])

    def _places(self, reading: bytes) -> Iterator[tuple[int, int, Owner, Fold]]:
        for fold, table in self._tables.items():
            letters: list[int] | None = None
            for start, end, owner in table.matches(fold(reading)):
                if fold is not Fold.BASE64:
                    yield start, end, owner, fold
                    continue
                if letters is None:
                    letters = [at for at, byte in enumerate(reading) if byte not in WHITE_SPACE]
                yield letters[start], letters[end - 1] + 1, owner, fold

    def open_from(self, text: bytes, *, letters_before_space: int = 1) -> int:
        """Where the first needle may begin that the text does not hold whole; else the text's length.

        Base64 that ends in white space counts from so many letters on.
        """
        start = max(0, len(text) - self.longest)
        if not self._tables or start == len(text):
            return len(text)
        level = text[start:]
        first, sources = len(level), [level]
        for depth in range(DEPTH + 1):
            whole = level[: partial_from(level)]
            at = min(self._open(level, letters_before_space), len(whole))
            if len(whole) < len(level):
                at = min(at, self._open(whole, letters_before_space))
            if at < len(level):
                for source in reversed(sources[:depth]):
                    at = Origin(source).begin(at)
                first = min(first, at)
            plainer = unescape(whole)
            if not first or not plainer or (plainer == whole and len(whole) == len(level)):
                break
            sources.append(plainer)
            level = plainer
        return start + first

    def _open(self, reading: bytes, letters_before_space: int) -> int:
        first = len(reading)
        for fold, table in self._tables.items():
            folded = fold(reading)
            count = len(folded) - table.open_from(folded)
            if fold is not Fold.BASE64 or not count:
                first = min(first, len(reading) - count)
            elif count >= letters_before_space or reading[-1] not in WHITE_SPACE:
                first = min(first, _before_letters(reading, count))
        return first


def _before_letters(text: bytes, count: int) -> int:
    """Where the last `count` bytes that are not white space begin."""
    at = len(text)
    while count > 0:
        at -= 1
        count -= text[at] not in WHITE_SPACE
    return at
