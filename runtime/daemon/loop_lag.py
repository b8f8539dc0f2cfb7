"""How late the event loop is: what a callback waits for whatever else is going on, for the metrics.

It is measured only while somebody reads the metrics: a daemon that nobody watches sleeps.
"""

from __future__ import annotations

import asyncio

from runtime.model.histogram import Histogram

EVERY_S = 0.5
IDLE_S = 300.0
"""So long after the last reading the measuring ends."""
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class LoopLag:
    """Measures the loop that it is watched from."""

    def __init__(self) -> None:
        self.histogram = Histogram(BOUNDS_S)
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0

    @property
    def is_measuring(self) -> bool:
        """Whether the loop is woken to measure it."""
        return self._timer is not None

    def watch(self) -> None:
        """Somebody reads: measure from now on, for a while."""
        loop = asyncio.get_running_loop()
        self._until = loop.time() + IDLE_S
        if self._timer is None:
            self._schedule(loop)

    def close(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + EVERY_S
        self._timer = loop.call_at(due, self._tick, loop, due)

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self.histogram.observe(now - due)
        self._timer = None
        if now < self._until:
            self._schedule(loop)
