"""Takes the values of secrets out of what an agent says, in every spelling that is known of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any

from proxy.policy.reasons import ReasonCode
from proxy.secrets.cover import Piece, StreamCover
from proxy.secrets.forms import SecretForms, make_search
from proxy.secrets.search import Search
from runtime.model.secret import Secret

MASK = "***"
MIN_SECRET_CHARS = 8
"""Shorter values stand in ordinary text by chance, and are no secrets to speak of."""
MAX_DEPTH = 500
"""Of a JSON document that is looked through."""
_BETWEEN = "\n\x1e\n"
"""Stands between the texts of a document: it is part of no spelling."""


def too_short(secrets: Mapping[str, Secret]) -> list[str]:
    """The names of those whose values are not masked."""
    return sorted(name for name, value in secrets.items() if len(value.reveal().strip()) < MIN_SECRET_CHARS)


class Redactor:
    """Replaces secret values in text."""

    def __init__(self, values: Iterable[str]) -> None:
        self._forms: dict[str, SecretForms] = {}
        self._search: Search[SecretForms] | None = None
        for value in values:
            self.add(value)

    def add(self, value: str) -> None:
        """Mask this value too, in every spelling of `proxy.secrets.spellings`, and each of its lines."""
        value = value.strip()
        self._keep(value, SecretForms.of("", value, ReasonCode.SECRET_LEAK))
        for line in value.splitlines()[1:] and value.splitlines():
            self._keep(line.strip(), SecretForms.of_line("", line, ReasonCode.SECRET_LEAK))

    def _keep(self, text: str, forms: SecretForms | None) -> None:
        if forms is not None and len(text) >= MIN_SECRET_CHARS and text not in self._forms:
            self._forms[text] = forms
            self._search = None

    @property
    def search(self) -> Search[SecretForms]:
        """For all values that are known by now."""
        if self._search is None:
            self._search = make_search(self._forms.values())
        return self._search

    def __call__(self, text: str) -> str:
        """The text with every value masked; values that overlap are masked as one."""
        raw = text.encode(errors="surrogatepass")
        if not self.search.spans(raw):
            return text
        cleaned = self.clean(raw)
        try:
            return cleaned.decode(errors="surrogatepass")
        except UnicodeDecodeError:  # a mask may stand in the midst of a character
            return cleaned.decode(errors="replace")

    def clean(self, raw: bytes) -> bytes:
        """The same for bytes."""
        mask = StreamMask(self)
        return mask.feed(raw) + mask.finish()

    def document(self, value: object) -> object:
        """A parsed JSON document with every value masked in its keys, texts and numbers.

        Raises ValueError for one that is nested too deep.
        """
        texts = _texts(value)
        raw = [text.encode(errors="surrogatepass") for text in texts]
        starts = [0, *accumulate(len(each) + len(_BETWEEN) for each in raw)]
        spans = self.search.spans(_BETWEEN.encode().join(raw))
        if not spans:
            return value
        met = {bisect_right(starts, at) - 1 for span in spans for at in (span.start, span.end - 1)}
        masked = {text: self(text) for text in {texts[number] for number in met}}
        return _replaced(value, {text: cleaned for text, cleaned in masked.items() if cleaned != text})


def _texts(value: object) -> list[str]:
    """The keys, texts and numbers of a document."""
    found: list[str] = []
    level = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[object] = []
        for item in level:
            if isinstance(item, str):
                found.append(item)
            elif isinstance(item, dict):
                found += item
                deeper += item.values()
            elif isinstance(item, list):
                deeper += item
            elif isinstance(item, int | float) and not isinstance(item, bool):
                found.append(str(item))
        if not deeper:
            return found
        level = deeper
    raise ValueError(f"nested more than {MAX_DEPTH} deep")


def _replaced(value: Any, masked: Mapping[str, str]) -> object:
    if isinstance(value, str):
        return masked.get(value, value)
    if isinstance(value, dict):
        return {masked.get(key, key): _replaced(item, masked) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, masked) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return masked.get(str(value), value)
    return value


class StreamMask:
    """Masks values in one stream of bytes; what may be the beginning of one waits."""

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact
        self._cover = StreamCover(redact.search)

    def feed(self, data: bytes) -> bytes:
        """What can go on now."""
        self._cover.search = self._redact.search
        return b"".join(map(_masked, self._cover.feed(data)))

    def finish(self) -> bytes:
        """The rest."""
        return b"".join(map(_masked, self._cover.finish()))


def _masked(piece: Piece[SecretForms]) -> bytes:
    if not piece.is_covered:
        return piece.text
    return b"" if piece.offset else MASK.encode()
