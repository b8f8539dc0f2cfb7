"""How long an attempt may take. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Timeouts(NamedTuple):
    """Bounds of one attempt, in seconds."""

    connect_s: float = 10.0
    first_byte_s: float = 60.0
    """Of a streamed answer."""
    answer_s: float = 600.0
    """Of one that is not streamed, all of it."""
    silence_s: float = 300.0
    """Between two pieces of a stream; how long it goes on in all is the run's matter."""
