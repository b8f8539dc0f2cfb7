"""Takes the values of secrets out of text, in every spelling that is known of them."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.secrets.forms import Use, spelled

MASK = "***"
MIN_SECRET_CHARS = 4
"""Shorter values would mask ordinary text."""


class Redactor:
    """Replaces secret values in text."""

    def __init__(self, values: Iterable[str]) -> None:
        self._values: list[str] = []
        for value in values:
            self.add(value)

    def add(self, value: str) -> None:
        """Mask this value too, in every spelling of `proxy.secrets.forms`.

        Longest first: a value that holds another is masked whole.
        """
        forms = (*spelled(value, Use.MASK), *spelled(value.strip(), Use.MASK))
        known = {form for form in forms if len(form) >= MIN_SECRET_CHARS}
        self._values = sorted(known.union(self._values), key=len, reverse=True)

    @property
    def open_chars(self) -> int:
        """How much of a text's end may be the beginning of a value."""
        return len(self._values[0]) - 1 if self._values else 0

    def __call__(self, text: str) -> str:
        """The text with every value masked."""
        for value in self._values:
            text = text.replace(value, MASK)
        return text
