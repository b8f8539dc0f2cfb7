"""One input of the fuzz: what is said to the worker, where, and in which order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

MAX_STEPS = 400
"""Of one case, so that no mutation makes it endless."""


class Step(NamedTuple):
    """Bytes to say."""

    data: bytes
    is_raw: bool = False
    """Below TLS, where the connection has it."""
    waits: bool = False
    """Whether an answer is waited for behind it (for a moment)."""


class Case(NamedTuple):
    """A connection, or datagrams, to a worker."""

    kind: str
    number: int
    door: str
    """`explicit`, `sni`, `host`, `dns` (TCP) or `datagram`."""
    steps: tuple[Step, ...]
    connect: str = ""
    """Authority of the CONNECT that comes first, where there is one."""
    server_name: str = ""
    """Of the TLS that comes next, where there is one."""
    alpn: str = ""

    @property
    def name(self) -> str:
        """With the seed, all that is needed to make it again."""
        return f"{self.kind}:{self.number}"


def dice(seed: str, *what: object) -> random.Random:
    """The one way in which chance gets in: the same words give the same rolls, in every process."""
    return random.Random(":".join([seed, *map(str, what)]))


# -- mutations ------------------------------------------------------------------------------------


def mutated(rng: random.Random, data: bytes, *, most: int = 5) -> bytes:
    """One to `most` changes: bits flipped, bytes cut, doubled, inserted or overwritten, lengths moved."""
    out = bytearray(data)
    for _ in range(rng.randint(1, most)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(6):
            case 0 if out:
                out[at % len(out)] ^= 1 << rng.randrange(8)
            case 1:
                del out[at : at + rng.choice((1, 2, 4, 16, 64))]
            case 2:
                out[at:at] = out[at : at + rng.choice((1, 2, 9, 64))] * rng.choice((1, 1, 2, 8))
            case 3:
                out[at:at] = rng.randbytes(rng.choice((1, 2, 4, 9)))
            case 4 if out:
                out[at % len(out)] = rng.choice((0, 1, 0x0A, 0x0D, 0x20, 0x7F, 0x80, 0xFF))
            case _:
                del out[at:]
    return bytes(out)


def scrambled(rng: random.Random, units: list[bytes]) -> list[bytes]:
    """Whole units left out, doubled, moved or changed inside."""
    out = list(units)
    for _ in range(rng.randint(1, 4)):
        if not out:
            break
        at = rng.randrange(len(out))
        match rng.randrange(5):
            case 0:
                del out[at]
            case 1:
                out[at:at] = [out[at]] * rng.choice((1, 1, 3, 20))
            case 2:
                out.insert(rng.randrange(len(out)), out.pop(at))
            case 3:
                del out[at + 1 :]
            case _:
                out[at] = mutated(rng, out[at])
    return out[:MAX_STEPS]


def in_pieces(rng: random.Random, data: bytes) -> Iterator[bytes]:
    """As the network may cut it: whole, in a few pieces, or a few bytes at a time."""
    match rng.randrange(4):
        case 0:
            cuts = sorted(rng.randrange(len(data) + 1) for _ in range(3))
        case 1:
            cuts = list(range(0, min(len(data), 60), rng.choice((1, 2, 7))))
        case _:
            cuts = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        if data[start:end]:
            yield data[start:end]
