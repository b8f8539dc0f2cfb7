"""runtime.engine.frames: an engine's frames give the bytes that a container wrote, however the frames are cut."""

from __future__ import annotations

import itertools
import random
import struct

import pytest

from runtime.engine.frames import SMALL_BYTES, Frames
from runtime.engine.protocol import STDERR, STDOUT


def frame(stream: int, data: bytes) -> bytes:
    """As the engine sends it (API 1.41)."""
    return struct.pack(">BxxxL", stream, len(data)) + data


SENT = [(STDERR, b"one\n"), (STDERR, b""), (STDERR, b"two\n"), (STDOUT, b"{}"), (STDERR, b"\n")]


@pytest.mark.parametrize("size", range(1, 60))
def test_wherever_the_bytes_are_cut(size: int):
    """Every byte comes once, in order, on its own stream."""
    data = b"".join(itertools.starmap(frame, SENT))
    frames = Frames()
    pieces = [
        piece for start in range(0, len(data), size) for piece in frames.feed(data[start : start + size])
    ]

    joined = [
        (stream, b"".join(part for _, part in group))
        for stream, group in itertools.groupby(pieces, key=lambda piece: piece[0])
    ]
    assert joined == [(STDERR, b"one\ntwo\n"), (STDOUT, b"{}"), (STDERR, b"\n")]
    assert frames.small == len(SENT)


def test_what_lies_side_by_side_is_one_piece():
    """A thousand frames of a byte each are one piece for who reads them, and counted."""
    frames = Frames()

    assert frames.feed(frame(STDERR, b"\n") * 1000) == [(STDERR, b"\n" * 1000)]
    assert frames.small == 1000


def test_large_frames_are_not_counted():
    """Their bytes are what they cost; the last size that is small is one less than the bound."""
    frames = Frames()
    for size in (SMALL_BYTES - 1, SMALL_BYTES, 1 << 20):
        frames.feed(frame(STDOUT, bytes(size)))

    assert frames.small == 1


def test_random_frames_in_random_cuts():
    """As above, for any sizes and cuts."""
    chance = random.Random(7)
    for _ in range(50):
        sent = [
            (chance.choice((STDOUT, STDERR)), chance.randbytes(chance.choice((0, 1, 7, 300, 9000))))
            for _ in range(20)
        ]
        data, frames, got = b"".join(itertools.starmap(frame, sent)), Frames(), {STDOUT: b"", STDERR: b""}
        while data:
            cut = chance.randint(1, 4000)
            for stream, piece in frames.feed(data[:cut]):
                got[stream] += piece
            data = data[cut:]
        assert got == {s: b"".join(piece for on, piece in sent if on == s) for s in got}
