"""WebSocket frames from both sides of an upgrade, right ones and others."""

from __future__ import annotations

import base64
import hashlib
import random

from tests.harness.fuzz.cases import Case, Step, in_pieces, mutated, scrambled
from tests.harness.fuzz.place import HELD, HOSTILE, TLS_PORT

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
OPCODES = (0, 1, 1, 2, 2, 8, 9, 10, 3, 7, 11, 15)
TEXTS = (
    b"hello",
    b"",
    b"\xff\xfe",
    "\u00fc\u4e2d".encode(),
    HELD.encode(),
    b"x" * 126,
    b"y" * 70_000,
    b"\xf0\x9f",
)


def conversation(rng: random.Random, number: int) -> Case:
    """An upgrade that waits for its answer, then frames."""
    key = base64.b64encode(rng.randbytes(16)).decode()
    offers = (
        "",
        "",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
        "Sec-WebSocket-Protocol: a, b\r\n",
    )
    is_secure = rng.random() < 0.3
    target = f"/ws/{number}" if is_secure else f"http://{HOSTILE}/ws/{number}"
    head = (
        f"GET {target} HTTP/1.1\r\nHost: {HOSTILE}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{rng.choice(offers)}\r\n"
    ).encode()
    if rng.random() < 0.1:
        head = mutated(rng, head)
    units = [frame(rng, is_masked=rng.random() < 0.95) for _ in range(rng.choice((1, 4, 12, 60)))]
    if rng.random() < 0.5:
        units = scrambled(rng, units)
    said = [Step(piece) for unit in units for piece in in_pieces(rng, unit)]
    steps = (Step(head, waits=rng.random() < 0.95), *said)
    if is_secure:
        return Case("websocket", number, "explicit", steps, f"{HOSTILE}:{TLS_PORT}", HOSTILE, "http/1.1")
    return Case("websocket", number, "explicit", steps)


def answer(rng: random.Random, key: str) -> list[bytes]:
    """The upgrade's answer, nearly always a right one, and frames behind it."""
    accepts = base64.b64encode(hashlib.sha1(key.encode() + _MAGIC, usedforsecurity=False).digest()).decode()
    more = rng.choice(
        ("", "", "", "Sec-WebSocket-Extensions: permessage-deflate\r\n", "Sec-WebSocket-Protocol: zz\r\n")
    )
    head = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accepts}\r\n{more}\r\n"
    ).encode()
    units = [frame(rng, is_masked=rng.random() < 0.05) for _ in range(rng.choice((0, 2, 8, 40)))]
    units = scrambled(rng, units) if rng.random() < 0.5 else units
    units = [mutated(rng, head) if rng.random() < 0.1 else head, *units]
    pieces = [piece for unit in units for piece in in_pieces(rng, unit)]
    return [*pieces, b""] if rng.random() < 0.7 else pieces


def frame(rng: random.Random, *, is_masked: bool) -> bytes:
    """One frame (RFC 6455 section 5.2), its length told in a way that may not be true."""
    opcode, payload = rng.choice(OPCODES), rng.choice(TEXTS)
    if opcode == 8:
        payload = rng.choice(
            (b"", b"\x03", b"\x03\xe8bye", b"\x00\x01", b"\x03\xed", b"\x03\xe8" + b"\xff" * 140)
        )
    first = (rng.random() < 0.7) << 7 | opcode | rng.choice((0, 0, 0, 0, 0x40, 0x10))
    told = len(payload) if rng.random() < 0.95 else rng.choice((0, 125, 2**16, 5 << 20, 2**63, 2**64 - 1))
    mark = is_masked << 7
    if told < 126 and rng.random() < 0.97:
        head = bytes([first, mark | told])
    elif told < 2**16:
        head = bytes([first, mark | 126]) + told.to_bytes(2)
    else:
        head = bytes([first, mark | 127]) + told.to_bytes(8)
    if not is_masked:
        return head + payload
    mask = rng.randbytes(4)
    body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload[:4096])) + payload[4096:]
    return head + mask + body
