"""DNS: questions to the worker's sink, and answers of a name server that means harm."""

from __future__ import annotations

import random
import struct

from tests.harness.fuzz.cases import Case, Step, in_pieces, mutated, scrambled
from tests.harness.fuzz.place import HOSTILE, Place

NAMES = (
    HOSTILE,
    "x.wild.test",
    "evil.test",
    "",
    "a." * 60 + "test",
    "b" * 63 + ".test",
    "\x00\xff.test",
    "c" * 70,
)
TYPES = (1, 1, 1, 28, 5, 12, 16, 33, 41, 65, 255, 0, 65_535)


def datagrams(rng: random.Random, number: int) -> Case:
    """A few questions from one source port."""
    units = [_maybe_mutated(rng, question(rng)) for _ in range(rng.choice((1, 2, 6)))]
    return Case("datagram", number, "datagram", tuple(Step(unit) for unit in units))


def stream(rng: random.Random, number: int) -> Case:
    """Questions over TCP, each behind its length."""
    asked = [_maybe_mutated(rng, question(rng)) for _ in range(rng.choice((1, 3, 30)))]
    units = [_length(rng, data) + data for data in asked]
    if rng.random() < 0.4:
        units = scrambled(rng, units)
    return Case("dns", number, "dns", tuple(Step(piece) for u in units for piece in in_pieces(rng, u)))


def question(rng: random.Random) -> bytes:
    """A message as a resolver sends it, or nearly."""
    flags = rng.choice((0x0100, 0x0100, 0x0100, 0x0000, 0x8180, 0x2800, 0xFFFF))
    counts = rng.choice(((1, 0, 0, 0), (1, 0, 0, 0), (1, 0, 0, 1), (2, 0, 0, 0), (0, 0, 0, 0), (65_535,) * 4))
    head = struct.pack("!6H", rng.randrange(2**16), flags, *counts)
    body = b"".join(
        _name(rng.choice(NAMES)) + struct.pack("!HH", rng.choice(TYPES), rng.choice((1, 1, 3, 255)))
        for _ in "12"[: counts[0]]
    )
    edns = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0) if counts[3] == 1 else b""
    return head + body + edns


def reply(rng: random.Random, place: Place, asked: bytes) -> list[bytes]:
    """Answers to one question of the worker's: the right one, with luck, and whatever else."""
    number, (end, _) = asked[:2], _question_end(asked)
    section = asked[12:end]
    address = rng.choice(
        (place.upstream, place.upstream, "127.0.0.1", "169.254.169.254", "10.0.0.1", "0.0.0.0")
    )
    packed = bytes(int(part) for part in address.split("."))
    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, rng.choice((0, 1, 60, 2**32 - 1)), 4) + packed
    loop = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 60, 2) + b"\xc0\x0c"
    records, count = rng.choice(
        (
            (record, 1),
            (record, 1),
            (record * 130, 130),
            (loop, 1),
            (loop + record, 2),
            (b"", 0),
            (b"\xc0\xff", 1),
        )
    )
    flags = rng.choice((0x8180, 0x8180, 0x8180, 0x8380, 0x8182, 0x8183, 0x0100))
    good = number + struct.pack("!5H", flags, 1, count, 0, 0) + section + records
    said = [_maybe_mutated(rng, good)]
    if rng.random() < 0.2:
        said.insert(0, rng.randbytes(rng.choice((0, 1, 12, 600))))
    return said * rng.choice((1, 1, 1, 2, 0))


def _question_end(asked: bytes) -> tuple[int, bytes]:
    at = 12
    while at < len(asked) and asked[at]:
        at += 1 + asked[at]
    return min(at + 5, len(asked)), asked[12:at]


def _name(text: str) -> bytes:
    labels = [label.encode("latin-1") for label in text.split(".") if label]
    return b"".join(bytes([len(label) & 0xFF]) + label for label in labels) + b"\0"


def _length(rng: random.Random, data: bytes) -> bytes:
    return (len(data) if rng.random() < 0.8 else rng.randrange(2**16)).to_bytes(2)


def _maybe_mutated(rng: random.Random, data: bytes) -> bytes:
    return mutated(rng, data) if rng.random() < 0.5 else data
