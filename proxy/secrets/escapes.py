r"""Undoes the escapes that stand for single characters, and knows where each byte came from.

Percent, JSON and string escapes and HTML entities, all at once. NULs go: ASCII in UTF-16 reads as ASCII.

>>> unescape(rb"a%2Fb\/c&amp;d")
b'a/b/c&d'
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from html.entities import html5

DEPTH = 3
"""How often escapes are undone: once more than two codings need, for a value that looks escaped itself."""
MAX_NAME = 8
"""Letters of an entity's name; longer ones that mean an ASCII character have a shorter name too."""
MAX_PARTIAL = 12

_NAMES = {
    f"&{name}".encode(): meant.encode()
    for name, meant in html5.items()
    if name.endswith(";") and len(name) <= MAX_NAME + 1 and len(meant) == 1 and "!" <= meant <= "~"
}
_KINDS = (
    rb"%[0-9A-Fa-f]{2}"
    rb"|\\(?:u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}"
    rb"|[\"'\\/bfnrt])"
    rb"|&(?:[A-Za-z]{2,8}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});"
)
_ESCAPE = re.compile(_KINDS)
_ESCAPE_OR_NUL = re.compile(_KINDS + rb"|\0+")
_PARTIAL = re.compile(
    rb"(?:%[0-9A-Fa-f]?"
    rb"|\\u[dD][89abAB][0-9A-Fa-f]{2}(?:\\(?:u[0-9A-Fa-f]{0,3})?)?"
    rb"|\\(?:u[0-9A-Fa-f]{0,3}|x[0-9A-Fa-f]?)?"
    rb"|&(?:[A-Za-z]{0,8}|#[0-9]{0,7}|#[xX][0-9A-Fa-f]{0,6}))\Z"
)


def _known() -> dict[bytes, bytes]:
    digits = "0123456789abcdefABCDEF"
    bytes_of = {
        (start + high + low).encode(): bytes([int(high + low, 16)])
        for start in ("%", "\\x")
        for high in digits
        for low in digits
    }
    simple = zip(b"\"'\\/bfnrt", b"\"'\\/\b\f\n\r\t", strict=True)
    return bytes_of | {b"\\" + bytes([name]): bytes([meant]) for name, meant in simple} | _NAMES


_KNOWN = _known()


def _meant(escape: re.Match[bytes]) -> bytes:
    text = escape[0]
    known = _KNOWN.get(text)
    if known is not None:
        return known
    try:
        if text.startswith(b"\\u"):
            units = b"".join(int(text[at : at + 4], 16).to_bytes(2) for at in range(2, len(text), 6))
            return units.decode("utf-16-be", "surrogatepass").encode(errors="surrogatepass")
        if text.startswith(b"&#"):
            number = int(text[3:-1], 16) if text[2:3] in b"xX" else int(text[2:-1])
            return chr(number).encode(errors="surrogatepass")
    except (ValueError, OverflowError):  # beyond Unicode
        return text
    return text


def unescape(text: bytes) -> bytes:
    """Undo escapes once."""
    if b"%" in text or b"\\" in text or b"&" in text:
        text = _ESCAPE.sub(_meant, text)
    return text.translate(None, b"\0") if b"\0" in text else text


def readings(text: bytes) -> Iterator[bytes]:
    """The text as it is, and unescaped up to DEPTH times, as far as these differ."""
    yield text
    for _ in range(DEPTH):
        plainer = unescape(text)
        if plainer == text:
            return
        yield plainer
        text = plainer


def partial_from(text: bytes) -> int:
    """Where an escape begins that the text's end cuts; else its length."""
    cut = _PARTIAL.search(text, max(0, len(text) - MAX_PARTIAL))
    return cut.start() if cut else len(text)


class Origin:
    """Where in a text the bytes stood that `unescape` made of it."""

    def __init__(self, source: bytes) -> None:
        self._at: list[int] = []
        """In the unescaped text, where each escape's meaning ends; with `_begin` and `_end` in the source."""
        self._size: list[int] = []
        self._begin: list[int] = []
        self._end: list[int] = []
        at, end = 0, 0
        for escape in _ESCAPE_OR_NUL.finditer(source):
            meant = b"" if escape[0][0] == 0 else _meant(escape).replace(b"\0", b"")
            at += escape.start() - end + len(meant)
            end = escape.end()
            self._at.append(at)
            self._size.append(len(meant))
            self._begin.append(escape.start())
            self._end.append(end)

    def begin(self, at: int) -> int:
        """Where the byte at `at` begins in the source."""
        number = bisect_right(self._at, at)
        if number < len(self._at) and at >= self._at[number] - self._size[number]:
            return self._begin[number]
        return at if not number else self._end[number - 1] + at - self._at[number - 1]

    def end(self, at: int) -> int:
        """Where the byte before `at` ends in the source."""
        number = bisect_right(self._at, at - 1)
        if number < len(self._at) and at - 1 >= self._at[number] - self._size[number]:
            return self._end[number]
        return at if not number else self._end[number - 1] + at - self._at[number - 1]
