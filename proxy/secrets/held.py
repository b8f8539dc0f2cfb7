"""The end of a stream that waits for what comes next, and when it is worth looking at again."""

from __future__ import annotations

MIN_GROWTH_BYTES = 256
"""So long, what waits is looked at with each piece."""


class Held:
    """Bytes that wait.

    What is long is looked at again only once it has grown by a quarter: so each byte of a stream is looked
    at a few times, however small the pieces are that it comes in.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._due_at = 0

    def __len__(self) -> int:
        return len(self._bytes)

    @property
    def is_due(self) -> bool:
        """Whether to look now."""
        return len(self._bytes) >= self._due_at

    def add(self, data: bytes) -> None:
        """Put what came behind what waits."""
        self._bytes += data

    def take(self) -> bytes:
        """All of it; nothing waits any more."""
        taken = bytes(self._bytes)
        self._bytes.clear()
        self._due_at = 0
        return taken

    def keep(self, rest: bytes) -> None:
        """Let these wait, which were looked at."""
        self._bytes += rest
        self._due_at = len(rest) + (len(rest) // 4 if len(rest) > MIN_GROWTH_BYTES else 0)
