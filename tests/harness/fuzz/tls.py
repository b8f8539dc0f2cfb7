"""TLS: hellos and records as a client or an upstream would send them, and as none would."""

from __future__ import annotations

import contextlib
import random
import ssl
from functools import cache

from tests.harness.fuzz.cases import Case, Step, in_pieces, mutated, scrambled
from tests.harness.fuzz.place import BROKEN, BROKEN_PORT, HOSTILE, PASSED, TLS_PORT

NAMES = (HOSTILE, PASSED, "evil.test", "", "a" * 60 + ".test", "xn--zz.test")
ALPNS = ((), ("h2", "http/1.1"), ("http/1.1",), ("h2",), ("spdy/1", "x" * 200), ("http/1.0",))
ALERT = b"\x15\x03\x03\x00\x02"


def hellos(rng: random.Random, number: int) -> Case:
    """A ClientHello and what may come behind it, at the door for TLS or in a tunnel."""
    door = rng.choice(("sni", "sni", "explicit", "host"))
    hello = client_hello(rng.choice(NAMES), rng.choice(ALPNS))
    units = _records(rng, hello)
    units += [
        rng.choice((b"\x14\x03\x03\x00\x01\x01", ALERT + b"\x02\x28", b"\x17\x03\x03\x00\x20" + bytes(32)))
    ]
    units = scrambled(rng, units) if rng.random() < 0.8 else units
    steps = [Step(piece, is_raw=True) for unit in units for piece in in_pieces(rng, unit)]
    return Case("hello", number, door, tuple(steps), f"{HOSTILE}:{TLS_PORT}" if door == "explicit" else "")


def records(rng: random.Random, number: int) -> Case:
    """A handshake that is done, and records that no such session would bring."""
    name = rng.choice((HOSTILE, HOSTILE, BROKEN))
    port = BROKEN_PORT if name == BROKEN else TLS_PORT
    said = f"GET /{number} HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n".encode()
    steps = [Step(said, waits=name == BROKEN)]
    for _ in range(rng.choice((1, 2, 5))):
        kind = rng.choice((20, 21, 22, 23, 24, 99))
        size = rng.choice((0, 1, 16, 300, 16385))
        record = bytes([kind, 3, rng.choice((1, 3, 4))]) + size.to_bytes(2) + rng.randbytes(min(size, 300))
        steps.insert(rng.randrange(len(steps) + 1), Step(record, is_raw=True))
    return Case(
        "record", number, "explicit", tuple(steps), f"{name}:{port}", name, rng.choice(("http/1.1", "h2"))
    )


@cache
def client_hello(name: str, alpns: tuple[str, ...]) -> bytes:
    """What OpenSSL would send first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpns:
        context.set_alpn_protocols(list(alpns))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    speaking = context.wrap_bio(incoming, outgoing, server_hostname=name or None)
    with contextlib.suppress(ssl.SSLWantReadError):
        speaking.do_handshake()
    return outgoing.read()


def spoilt(rng: random.Random, flight: bytes) -> bytes:
    """A server's flight, of which something is wrong more often than not."""
    return mutated(rng, flight, most=3) if rng.random() < 0.6 else flight


def _records(rng: random.Random, hello: bytes) -> list[bytes]:
    """The handshake in one record, or spread over many."""
    if rng.random() < 0.6:
        return [hello]
    body, size = hello[5:], rng.choice((1, 7, 50, 200))
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return [hello[:3] + len(part).to_bytes(2) + part for part in parts]
