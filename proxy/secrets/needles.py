"""Many byte strings looked for at once, in work that does not depend on how many they are, nor on the text.

A needle of n bytes holds one whole word of those at every s-th place of a text, for each s up to n - 7: only
where a word of the text is one of a needle's are the needles that have it looked for, by `bytes.find`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

WORD = 8
MAX_STRIDE = 24
MAX_WORDS = 8 << 10
"""Of all needles together, where a smaller stride keeps to it."""
FEW = 12
"""So few needles are looked for one by one: that is faster."""
_START = 4
"""Bytes that a needle's longer beginnings are told apart by."""
_PROBE = 32
"""Compared first: most that begin alike differ here."""


class Needles[Owner]:
    """Needles with their owners; immutable."""

    def __init__(self, needles: Iterable[tuple[bytes, Owner]]) -> None:
        self.each = tuple(dict.fromkeys(needles))
        """Needle and owner, each pair once."""
        self.shortest = min((len(needle) for needle, _ in self.each), default=0)
        self.longest = max((len(needle) for needle, _ in self.each), default=0)
        long = [pair for pair in self.each if len(pair[0]) >= 2 * WORD - 1]
        if len(long) <= FEW:
            long = []
        self._singly = tuple(pair for pair in self.each if not long or len(pair[0]) < 2 * WORD - 1)
        shortest = min((len(needle) for needle, _ in long), default=0)
        room = max(WORD, min(MAX_STRIDE, MAX_WORDS // max(1, len(long))))
        self._stride = min(room, shortest - WORD + 1) // WORD * WORD
        self._by_word: dict[int, tuple[tuple[bytes, Owner], ...]] = {}
        for pair in long:
            alone = (pair,)
            for at in range(self._stride):
                word = int.from_bytes(pair[0][at : at + WORD], sys.byteorder)
                others = self._by_word.setdefault(word, alone)
                if others is not alone and pair not in others:
                    self._by_word[word] = (*others, pair)
        self._by_start: dict[int, tuple[bytes, ...]] = {}
        for needle in dict.fromkeys(needle for needle, _ in self.each):
            start = int.from_bytes(needle[:_START], sys.byteorder)
            self._by_start[start] = (*self._by_start.get(start, ()), needle)
        self._short_starts = {needle[:size] for needle, _ in self.each for size in range(1, _START)}

    def candidates(self, text: bytes) -> Iterable[tuple[bytes, Owner]]:
        """The needles that `text` may hold."""
        if len(text) < self.shortest or not self.each:
            return ()
        if not self._by_word:
            return self._singly
        words = memoryview(text)[: len(text) // WORD * WORD].cast("Q")[:: self._stride // WORD]
        if self._by_word.keys().isdisjoint(words):
            return self._singly
        met = (pair for word in self._by_word.keys() & set(words) for pair in self._by_word[word])
        return (*self._singly, *dict.fromkeys(met))

    def find(self, text: bytes) -> Owner | None:
        """The owner of a needle that is in the text."""
        return next((owner for needle, owner in self.candidates(text) if needle in text), None)

    def matches(self, text: bytes) -> Iterator[tuple[int, int, Owner]]:
        """Every place of every needle in the text: from, to, whose."""
        for needle, owner in self.candidates(text):
            at = text.find(needle)
            while at >= 0:
                yield at, at + len(needle), owner
                at = text.find(needle, at + 1)

    def open_from(self, text: bytes) -> int:
        """Where the first needle begins that the text's end cuts; else the text's length."""
        before = max(0, len(text) - self.longest + 1)
        found = size = len(text) - before
        tail = memoryview(text)[before:] if size >= _START else memoryview(b"")
        for offset in range(_START if size >= _START else 0):
            words = tail[offset : offset + (size - offset) // _START * _START].cast("I")
            if self._by_start.keys().isdisjoint(words):
                continue
            for number, word in enumerate(words):
                at = offset + number * _START
                if at >= found:
                    break
                if any(_is_cut(needle, text, before + at) for needle in self._by_start.get(word, ())):
                    found = at
        for count in range(min(_START - 1, size), 0, -1):
            if found > size - count and text[-count:] in self._short_starts:
                return before + size - count
        return before + found


def _is_cut(needle: bytes, text: bytes, at: int) -> bool:
    """Whether the text from here on is a beginning of the needle, but not all of it."""
    return (
        len(text) - at < len(needle)
        and needle.startswith(text[at : at + _PROBE])
        and needle.startswith(text[at:])
    )
