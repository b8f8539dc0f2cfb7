"""The frames in which the engine sends a container's output (API 1.41, `POST .../attach`). Pure."""

from __future__ import annotations

import struct

SMALL_BYTES = 4 << 10
_HEAD = struct.Struct(">BxxxL")
"""The stream and the size of what follows."""


class Frames:
    """Takes bytes as they come. What lies side by side is one piece, in however many frames it was sent."""

    def __init__(self) -> None:
        self._rest = b""
        self._stream = 0
        self._left = 0
        self.small = 0
        """How many frames of less than `SMALL_BYTES` there were so far: they cost as much as larger ones."""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The output that these bytes have: each piece with its stream, in the order in which it was sent."""
        data = self._rest + data
        pieces: list[tuple[int, list[bytes]]] = []
        at = 0
        while True:
            if not self._left:
                if len(data) - at < _HEAD.size:
                    break
                self._stream, self._left = _HEAD.unpack_from(data, at)
                at += _HEAD.size
                self.small += self._left < SMALL_BYTES
            if part := data[at : at + self._left]:
                at += len(part)
                self._left -= len(part)
                if not pieces or pieces[-1][0] != self._stream:
                    pieces.append((self._stream, []))
                pieces[-1][1].append(part)
            elif self._left:
                break
        self._rest = data[at:]
        return [(stream, b"".join(parts)) for stream, parts in pieces]
