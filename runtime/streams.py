"""An agent's output as it comes: stderr line by line as the log, stdout collected up to a bound.

The values of the run's secrets are masked in both, line by line: an agent that prints its key does not
put it into the record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from runtime.engine import STDOUT

MAX_LINE_BYTES = 64 << 10
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
        """Mask this value too, as it is, as JSON writes it, and each of its lines.

        Longest first: a value that holds another is masked whole.
        """
        forms = {value, json.dumps(value)[1:-1], *value.splitlines()}
        known = {form for form in forms if len(form) >= MIN_SECRET_CHARS}.union(self._values)
        self._values = sorted(known, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text with every value masked."""
        for value in self._values:
            text = text.replace(value, MASK)
        return text


class Output:
    """Collects one run's streams."""

    def __init__(self, redact: Redactor, *, stdout_bytes: int, log_bytes: int) -> None:
        self.redact = redact
        self._stdout = bytearray()
        self._stdout_limit = stdout_bytes
        self._log_limit = log_bytes
        self._partial = bytearray()
        self._log_tail = ""
        self.is_stdout_too_long = False

    def feed(self, stream: int, data: bytes) -> list[str]:
        """Take bytes of a stream; the complete log lines they bring."""
        if stream == STDOUT:
            room = self._stdout_limit - len(self._stdout)
            self.is_stdout_too_long |= len(data) > room
            self._stdout += data[: max(0, room)]
            return []
        self._partial += data
        lines = []
        while (end := self._partial.find(b"\n")) >= 0 or len(self._partial) > MAX_LINE_BYTES:
            size = end + 1 if end >= 0 else MAX_LINE_BYTES
            lines.append(self._line(bytes(self._partial[:size])))
            del self._partial[:size]
        return lines

    def finish(self) -> list[str]:
        """What is left of the log when the streams end."""
        rest = bytes(self._partial)
        self._partial.clear()
        return [self._line(rest)] if rest else []

    @property
    def stdout(self) -> str:
        """All of stdout, masked."""
        return self.redact(self._stdout.decode(errors="replace"))

    @property
    def stderr(self) -> str:
        """The end of the log, masked."""
        return self._log_tail

    def _line(self, raw: bytes) -> str:
        text = self.redact(raw.decode(errors="replace"))
        self._log_tail = (self._log_tail + text)[-self._log_limit :]
        return text
