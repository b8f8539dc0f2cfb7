"""How fast an agent's log is read. Pure.

What an agent writes goes through the engine and the daemon, which all runs share. Read no faster than this,
it is the agent's own write that waits, and nobody else's.
"""

from __future__ import annotations

BURST_BYTES = 8 << 20
"""Read at once: more than any log that is kept."""
BYTES_PER_S = 2 << 20


class Pace:
    """A token bucket: `BURST_BYTES` at first, and `BYTES_PER_S` from then on."""

    def __init__(self, now: float) -> None:
        """`now` and what `wait_s` is given are seconds of one monotonic clock."""
        self._room = float(BURST_BYTES)
        self._at = now

    def wait_s(self, size: int, now: float) -> float:
        """Take `size` bytes; how many seconds to wait before the next are read."""
        self._room = min(float(BURST_BYTES), self._room + (now - self._at) * BYTES_PER_S) - size
        self._at = now
        return max(0.0, -self._room / BYTES_PER_S)
