"""The limits of one sandbox: the built-in ones, what a policy's budgets make of them, and the counter.

No clock here: callers hand the time in.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from proxy.policy.model import Budgets

# -- where the policy says nothing ---------------------------------------------------------------

DEFAULT_REQUESTS_PER_MINUTE = 6000
DEFAULT_CONNECTIONS = 256
"""At one time. Bytes have no built-in limit."""
DEFAULT_TUNNELS_PER_MINUTE = 6000
DEFAULT_NEW_NAMES_PER_MINUTE = 120
"""Names that need a certificate of their own: making one costs as much as fifty requests."""
DEFAULT_DNS_QUESTIONS_PER_MINUTE = 3000

# -- fixed, whatever a policy says ---------------------------------------------------------------

MAX_HEAD_BYTES = 64 << 10
"""Of a request's first line and headers; of an HTTP/2 header block, compressed."""
MAX_HEADERS = 256
MAX_URI_BYTES = 16 << 10
MAX_TRAILER_BYTES = 16 << 10
MAX_ANSWER_HEAD_BYTES = 128 << 10
MAX_ANSWER_HEADERS = 1024
MAX_CHUNK_LINE_BYTES = 4 << 10
"""Of an answer's chunk, its extensions included."""
MAX_PIPELINED_BYTES = 256 << 10
"""Sent on while the answer to an earlier request is still due."""
MAX_MESSAGE_BYTES = 4 << 20
"""Of a WebSocket's message, from either side; it is held until it is whole, and then searched."""
STREAM_WINDOW_BYTES = 256 << 10
CONNECTION_WINDOW_BYTES = 1 << 20
"""What an HTTP/2 client may send before the upstream has taken it: on one stream, and in all."""
MAX_STREAMS = 100
"""Open at one time on one HTTP/2 connection."""
MAX_RESETS_PER_MINUTE = 200
"""Streams that a client opens and takes back on one HTTP/2 connection (CVE-2023-44487)."""
MAX_TOLD_CONNECTIONS = 8
"""Connections beyond the limit that are still told why; those beyond these are closed unread."""
MAX_TOLD_BYTES = 64 << 10
"""Either way, of a connection that is only told that it is refused."""
MAX_CONTROL_FRAMES_PER_MINUTE = 10_000
"""That carry nothing of a request (pings, settings, priorities), on one HTTP/2 connection."""
CONNECTIONS_PER_MINUTE = 6000
"""Whatever comes of them: a handshake that fails costs as much as one that does not."""
REMEMBERED_NAMES = 256
"""With a certificate of their own, that are not new when they are asked for again."""
MAX_LOOKUPS = 128
"""Of different names, waited for at one time."""
MAX_NAME_PEERS = 1024
"""DNS clients over TCP at one time; one over UDP is gone with its answer."""
DENY_LINES_PER_MINUTE = 600
"""Audit lines of refusals; beyond it they are counted, and the count is a line of its own."""

# -- how long a client may take, in seconds ------------------------------------------------------

SILENCE_S = 60.0
"""From accept to the first byte."""
HEAD_S = 30.0
"""From the first byte of a ClientHello or a request head to its last one."""
NAME_PEER_S = 20.0
"""A TCP connection to the DNS sink, in all."""
REPORT_EVERY_S = 5.0
"""How often counted refusals become a line."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one sandbox may spend; bytes are counted on its side of the proxy, None is without limit."""

    requests_per_minute: int
    connections: int
    bytes_out: int | None
    bytes_in: int | None
    tunnels_per_minute: int = DEFAULT_TUNNELS_PER_MINUTE
    new_names_per_minute: int = DEFAULT_NEW_NAMES_PER_MINUTE
    dns_questions_per_minute: int = DEFAULT_DNS_QUESTIONS_PER_MINUTE


def limits_of(budgets: Budgets) -> Limits:
    """The policy's budgets, completed with the built-in ones. A budget of 0 allows none."""
    return Limits(
        requests_per_minute=_or(budgets.requests_per_minute, DEFAULT_REQUESTS_PER_MINUTE),
        connections=_or(budgets.connections, DEFAULT_CONNECTIONS),
        bytes_out=budgets.bytes_out,
        bytes_in=budgets.bytes_in,
        tunnels_per_minute=_or(budgets.tunnels_per_minute, DEFAULT_TUNNELS_PER_MINUTE),
        new_names_per_minute=_or(budgets.new_names_per_minute, DEFAULT_NEW_NAMES_PER_MINUTE),
        dns_questions_per_minute=_or(budgets.dns_questions_per_minute, DEFAULT_DNS_QUESTIONS_PER_MINUTE),
    )


def _or(budget: int | None, built_in: int) -> int:
    return built_in if budget is None else budget


class SlidingWindow:
    """Counts events over the last minute, in slots of a second.

    Never more than the limit in any 60 s: a slot leaves only when all of it is older than that. Memory is
    61 slots at most, whatever the limit.
    """

    SPAN_S = 60

    def __init__(self) -> None:
        self._slots: deque[tuple[int, int]] = deque()
        self._total = 0

    def is_full(self, limit: int, now: float) -> bool:
        """Whether another event would be one too many."""
        while self._slots and self._slots[0][0] < int(now) - self.SPAN_S:
            self._total -= self._slots.popleft()[1]
        return self._total >= limit

    def take(self, limit: int, now: float) -> bool:
        """Count one event if there is room for it; whether there was. One refused costs nothing."""
        if self.is_full(limit, now):
            return False
        second, count = int(now), 0
        if self._slots and self._slots[-1][0] >= second:  # a clock that steps back gets no new slot
            second, count = self._slots.pop()
        self._slots.append((second, count + 1))
        self._total += 1
        return True
