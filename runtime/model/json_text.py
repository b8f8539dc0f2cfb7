"""A JSON document as its text: it is kept, stored and answered with, and nobody has to read it. Pure.

An agent's result is read once, by its keeper. From there it travels as it was written: 10 MiB of small values
are 300 MiB of objects, and a process that makes them does nothing else for a second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class JsonText:
    """One value. Made by `of`, or by who has checked the text (`runtime.database.json_check`)."""

    data: bytes = field(repr=False)
    """ASCII without a line break, so that it can stand in any other text of JSON and in an event's line."""

    @classmethod
    def of(cls, value: object) -> Self:
        """The text of a value. Raises ValueError, TypeError or RecursionError for what is no JSON."""
        return cls(json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii"))

    def parse(self) -> Any:
        """The value, which is many times as large as its text."""
        return json.loads(self.data)


def write_object(members: Mapping[str, object]) -> bytes:
    """A JSON object in ASCII; a member that is a text of JSON stands in it as it is.

    Raises ValueError for NaN and the infinities, which are no JSON.
    """
    parts: list[bytes] = []
    for name, value in members.items():
        text = value if isinstance(value, JsonText) else JsonText.of(value)
        parts += [b"," if parts else b"{", JsonText.of(name).data, b":", text.data]
    return b"".join([*parts, b"}"] if parts else [b"{}"])  # at once: each copy of 10 MiB is felt
