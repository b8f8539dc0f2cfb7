"""A stream with the places marked where secrets stand, so that its user can put something over them.

cover = StreamCover(search)
for piece in cover.feed(chunk): ...
for piece in cover.finish(): ...
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.secrets.held import Held
from proxy.secrets.search import Search, Span

LETTERS_BEFORE_SPACE = 8
"""Of base64 in lines: a line that ends in fewer of a value's letters waits for no other line."""


class Piece[Owner](NamedTuple):
    """A part of the stream: clear, or covered as a whole."""

    text: bytes
    is_covered: bool = False
    offset: int = 0
    """Where in the covered place it begins: more than 0 where an earlier piece began it."""
    alone: Owner | None = None
    """Whose value stands here as it is, without another in it."""


class _Place[Owner](NamedTuple):
    start: int
    """Less than 0 for one whose beginning has gone."""
    end: int
    alone: Owner | None


class StreamCover[Owner]:
    """One stream. What may be the beginning of a value waits, and no more."""

    def __init__(self, search: Search[Owner]) -> None:
        self.search = search
        """May be replaced while the stream goes by."""
        self._held = Held()
        self._begun: _Place[Owner] | None = None

    def feed(self, data: bytes) -> list[Piece[Owner]]:
        """What can go on now."""
        self._held.add(data)
        if not self._held.is_due:
            return []
        text = self._held.take()
        return self._cut(text, self.search.open_from(text, letters_before_space=LETTERS_BEFORE_SPACE))

    def finish(self) -> list[Piece[Owner]]:
        """The rest."""
        text = self._held.take()
        return self._cut(text, len(text))

    def _cut(self, text: bytes, until: int) -> list[Piece[Owner]]:
        self._held.keep(text[until:])
        pieces: list[Piece[Owner]] = []
        at, places = 0, _merged(self._begun, self.search.spans(text))
        self._begun = None
        for place in places:
            start, end = max(0, place.start), min(place.end, until)
            if place.end > until > place.start:
                self._begun = _Place(place.start - until, place.end - until, place.alone)
            if start >= end:
                continue
            pieces += [Piece(text[at:start])] if start > at else []
            pieces.append(Piece(text[start:end], True, start - place.start, place.alone))  # noqa: FBT003
            at = end
        return [*pieces, Piece(text[at:until])] if at < until else pieces


def _merged[Owner](begun: _Place[Owner] | None, spans: list[Span[Owner]]) -> list[_Place[Owner]]:
    """Places without overlap: two values that overlap are covered as one."""
    places = [begun] if begun else []
    for span in spans:
        own = span.owner if span.is_plain else None
        if not places or span.start >= places[-1].end:
            places.append(_Place(span.start, span.end, own))
        elif (span.start, span.end) != places[-1][:2]:
            last = places[-1]
            is_same = span.start >= last.start and span.end <= last.end and last.alone is span.owner
            places[-1] = _Place(last.start, max(last.end, span.end), last.alone if is_same else None)
    return places
