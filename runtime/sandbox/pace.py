"""How fast an agent's output is read. Pure.

What an agent writes goes through the engine and the run's keeper. Read no faster than this, it is the agent's
own write that waits, and nobody else's: the engine holds a megabyte, joins small writes meanwhile, and then
stops reading the agent's pipe.

Each small piece costs the engine a turn (0.1 ms of a core), whatever its size: a byte in a piece of its own
would cost as much as 32 KiB.
"""

from __future__ import annotations

from dataclasses import dataclass, field

BURST_BYTES = 8 << 20
"""Of the log, read at once: more than any that is kept."""
BYTES_PER_S = 2 << 20
BURST_PIECES = 1000
"""Small ones of either stream, read at once."""
PIECES_PER_S = 250
"""Lines that come faster than this come several in a piece: a log is late then, and loses nothing."""


class Pace:
    """Two token buckets: one for the log's bytes, and one for small pieces of either stream."""

    def __init__(self, now: float) -> None:
        """`now` and what `wait_s` is given are seconds of one monotonic clock."""
        self._bytes = _Bucket(BURST_BYTES, BYTES_PER_S, now)
        self._pieces = _Bucket(BURST_PIECES, PIECES_PER_S, now)

    def wait_s(self, log_bytes: int, small_pieces: int, now: float) -> float:
        """Take what was read; how many seconds to wait before more is."""
        return max(self._bytes.take(log_bytes, now), self._pieces.take(small_pieces, now))


@dataclass(slots=True)
class _Bucket:
    """`burst` at first, and `per_s` from then on."""

    burst: float
    per_s: float
    at: float
    room: float = field(init=False)

    def __post_init__(self) -> None:
        self.room = self.burst

    def take(self, amount: float, now: float) -> float:
        """How many seconds until what was taken beyond the room has come in."""
        self.room = min(self.burst, self.room + (now - self.at) * self.per_s) - amount
        self.at = now
        return max(0.0, -self.room / self.per_s)
