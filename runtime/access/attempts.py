"""How often somebody may show what is no token of ours before they have to wait. Pure."""

from __future__ import annotations

from collections import OrderedDict

ATTEMPTS = 10
"""Failures in a row that are answered at once; then one is forgiven every FORGIVEN_S."""
FORGIVEN_S = 6.0
MAX_PEERS = 4096
"""Remembered; beyond it the one who failed longest ago is forgotten."""


class Attempts:
    """Failures by where they came from. `now` is seconds of any clock that goes on."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Who -> failures that were not forgiven, and when that was so."""

    def wait_s(self, who: str, now: float) -> float:
        """How long `who` has to wait before the next attempt is looked at; 0 for not at all."""
        return max(0.0, self._count(who, now) - (ATTEMPTS - 1)) * FORGIVEN_S

    def failed(self, who: str, now: float) -> None:
        """One more failure."""
        self._failures[who] = (self._count(who, now) + 1, now)
        self._failures.move_to_end(who)
        while len(self._failures) > MAX_PEERS:
            self._failures.popitem(last=False)

    def _count(self, who: str, now: float) -> float:
        count, at = self._failures.get(who, (0.0, now))
        return max(0.0, count - (now - at) / FORGIVEN_S)
