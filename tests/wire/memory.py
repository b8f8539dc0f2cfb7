"""How much this process holds at its worst, while something is done to the proxy in it."""

from __future__ import annotations

import contextlib
import gc
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass

MIB = 1 << 20


@dataclass
class Peak:
    """The most that was held at one time in this process, beyond what was held before."""

    held: int = 0


@contextlib.contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure what is allocated inside the block, the test's own side included."""
    gc.collect()
    peak = Peak()
    tracemalloc.start()
    try:
        yield peak
    finally:
        peak.held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
