"""Every kind of case, and how often it is drawn."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.harness.fuzz import dns, http1, http2, tls, websocket
from tests.harness.fuzz.cases import Case, Step, dice, in_pieces, mutated
from tests.harness.fuzz.place import HOSTILE, TLS_PORT, WILD

OPENINGS = (
    b"", b"\x00", b"\x05\x01\x00", b"SSH-2.0-x\r\n", b"\x16\x03", b"\x16\x03\x01\xff\xff", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET", b"\r\n\r\n", b"\n" * 200, b"\x80\x2e\x01\x00\x02", b"CONNECT ok.test:443 HTTP/1.1\r\n\r\n", b"\x1b" * 64,
)  # fmt: skip


def raw(rng: random.Random, number: int) -> Case:
    """Bytes of no protocol, or the beginning of one, at any port or in a tunnel."""
    data = rng.choice(OPENINGS) + rng.randbytes(rng.choice((0, 1, 10, 1000, 40_000)))
    data = mutated(rng, data) if data and rng.random() < 0.3 else data
    door = rng.choice(("explicit", "sni", "host", "dns", "datagram"))
    connect = f"{HOSTILE}:{TLS_PORT}" if door == "explicit" and rng.random() < 0.3 else ""
    pieces = [data[:1400]] if door == "datagram" else list(in_pieces(rng, data))
    return Case("raw", number, door, tuple(Step(piece, is_raw=True) for piece in pieces), connect)


def lookups(rng: random.Random, number: int) -> Case:
    """A request for a name that a hostile name server is asked for."""
    host = WILD.replace("x.", f"n{rng.randrange(400)}.")
    said = f"GET http://{host}/{number} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    return Case("lookup", number, "explicit", (Step(said, waits=True),))


KINDS: dict[str, tuple[int, Callable[[random.Random, int], Case]]] = {
    "raw": (2, raw),
    "http1": (4, http1.requests),
    "chunked": (2, http1.chunked),
    "hello": (2, tls.hellos),
    "record": (2, tls.records),
    "http2": (4, http2.conversation),
    "websocket": (4, websocket.conversation),
    "datagram": (4, dns.datagrams),
    "dns": (1, dns.stream),
    "lookup": (1, lookups),
}
"""Kind -> its weight, and what makes a case of it."""


def case_of(seed: str, number: int) -> Case:
    """The case of that number: the same for the same seed, whatever was drawn before it."""
    rng = dice(seed, "case", number)
    [kind] = rng.choices([*KINDS], [weight for weight, _ in KINDS.values()])
    return KINDS[kind][1](rng, number)
