"""Lines about what anybody can cause: so many a minute, and then one for many. Pure."""

from __future__ import annotations

LINES = 60
"""At once; then one is given back each EVERY_S."""
EVERY_S = 1.0


class Sparse:
    """Says which of many is written. `now` is seconds of any clock that goes on."""

    def __init__(self) -> None:
        self._left = float(LINES)
        self._at = 0.0
        self._suppressed = 0

    def take(self, now: float) -> int | None:
        """How many were left out since the last line, where this one is written; None where it is not."""
        self._left = min(float(LINES), self._left + max(0.0, now - self._at) / EVERY_S)
        self._at = now
        if self._left < 1.0:
            self._suppressed += 1
            return None
        self._left -= 1.0
        return self.give()

    def give(self) -> int:
        """How many were left out since the last line; from here on they count as told."""
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed
