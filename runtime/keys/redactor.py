"""Takes the values of secrets out of text, in every spelling that is known of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote

from proxy.policy.reasons import ReasonCode
from proxy.secrets.forms import SecretForms

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
        """Mask this value too: as it is, each of its lines, and as JSON, URLs, base64 and hex write it.

        Longest first: a value that holds another is masked whole.
        """
        forms = {value, json.dumps(value)[1:-1], quote(value, safe=""), *value.splitlines()}
        known = {form for form in forms if len(form) >= MIN_SECRET_CHARS}
        self._values = sorted(known.union(self._values, _encoded(value)), key=len, reverse=True)

    @property
    def open_chars(self) -> int:
        """How much of a text's end may be the beginning of a value."""
        return len(self._values[0]) - 1 if self._values else 0

    def __call__(self, text: str) -> str:
        """The text with every value masked."""
        for value in self._values:
            text = text.replace(value, MASK)
        return text


def _encoded(value: str) -> set[str]:
    """In base64 of either alphabet, at each alignment, and in hex of either case; none for a short value."""
    forms = SecretForms.of("VALUE", value, ReasonCode.SECRET_LEAK)
    if forms is None:
        return set()
    base64 = {form.decode() for form in forms.base64}
    hexed = forms.hexed.decode()
    return {*base64, *(form.replace("+", "-").replace("/", "_") for form in base64), hexed, hexed.upper()}
