"""A stream with its secrets marked: every byte once, each place told apart from its neighbour."""

from __future__ import annotations

import pytest

from proxy.policy.reasons import ReasonCode
from proxy.secrets.cover import Piece, StreamCover
from proxy.secrets.forms import SecretForms, search_of

FORMS = tuple(
    form
    for value in ("abcdefgh-ijkl", "gh-ijklmnopq", "ijklmnopq-rest", "aaaaaaaa")
    if (form := SecretForms.of(value, value, ReasonCode.SECRET_LEAK)) is not None
)


def pour(text: bytes, size: int) -> list[Piece[SecretForms]]:
    """The pieces of a text that comes in pieces."""
    cover = StreamCover(search_of(FORMS))
    found = [piece for at in range(0, len(text), size) for piece in cover.feed(text[at : at + size])]
    return found + cover.finish()


def drawn(pieces: list[Piece[SecretForms]]) -> str:
    """`[` for each place that begins, `#` for each covered byte."""
    return "".join(
        ("" if piece.offset else "[") + "#" * len(piece.text) if piece.is_covered else piece.text.decode()
        for piece in pieces
    )


CASES = {
    "= abcdefgh-ijkl =": "= [############# =",
    "= abcdefgh-ijklabcdefgh-ijkl =": "= [#############[############# =",
    "= abcdefgh-ijklmnopq-rest =": "= [####################### =",
    "= abcdefgh-ijklmn =": "= [#############mn =",
    "= aaaaaaaaaaaaaaaaaaaaa =": "= [##################### =",
    "= gh-ijklmnop": "= gh-ijklmnop",
    "= ab%63defgh-ijk&#x6c; =": "= [#################### =",
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("text", CASES)
def test_places_are_covered_whatever_the_pieces(text: str, size: int) -> None:
    """Values that overlap are one place, values side by side are two, a beginning alone is none."""
    pieces = pour(text.encode(), size)
    assert b"".join(piece.text for piece in pieces) == text.encode()
    assert drawn(pieces) == CASES[text]


@pytest.mark.parametrize("size", [1, 5, 100])
def test_a_value_that_stands_alone_and_as_it_is_is_named(size: int) -> None:
    """So that something as long may take its place; an escaped one, or two in one, may not."""

    def owners(text: bytes) -> set[str | None]:
        return {piece.alone.name if piece.alone else None for piece in pour(text, size) if piece.is_covered}

    assert owners(b"= abcdefgh-ijkl =") == {"abcdefgh-ijkl"}
    assert owners(b"= abcdefgh%2dijkl =") == {None}
    assert None in owners(b"= abcdefgh-ijklmnopq =")


def test_a_piece_knows_where_in_its_place_it_begins() -> None:
    """What covers a place may come in pieces."""
    pieces = [piece for piece in pour(b"aaaaaaaaaaaa=", 1) if piece.is_covered]
    assert [piece.offset for piece in pieces] == [
        sum(len(before.text) for before in pieces[:number]) for number in range(len(pieces))
    ]
