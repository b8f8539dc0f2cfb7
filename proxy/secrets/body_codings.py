"""Request bodies with a Content-Encoding, undone as they stream by, so that they can be looked into.

gzip, deflate (with or without zlib's wrapper) and br. Any other coding, a second one, bytes behind the
end and more than the bounds cannot be looked into: UnreadableBodyError.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import brotli

MAX_DECODED_BYTES = 64 << 20
"""Of one body: what is longer is refused and not left unread."""
MAX_RATIO = 100
FREE_BYTES = 1 << 20
"""A body may decode to so much, and beyond it to MAX_RATIO times what came: decoding and searching a
bomb in one go would keep every other sandbox waiting."""
PIECE_BYTES = 64 << 10
"""Decoded at a time, whatever the ratio."""


class UnreadableBodyError(ValueError):
    """The body cannot be decoded, or not within the bounds."""


class Decoder(Protocol):
    """Undoes one content coding, piece by piece."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """All that `data` lets out, in pieces. Raises UnreadableBodyError."""


_NAMES = {"content-encoding", "x-content-encoding", "transfer-encoding", "content-transfer-encoding"}
"""The headers that can call a body coded; a server may take `_` for `-` (RFC 3875 section 4.1.18)."""
_NO_CODING = {
    "": {"", "identity"},
    "transfer-encoding": {"chunked"},
    "content-transfer-encoding": {"7bit", "8bit", "binary", "base64"},  # base64 is searched as it is
}


def codings_of(fields: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """The codings that a message's headers name for its body, under whatever name."""
    found = []
    for raw_name, raw_value in fields:
        name = raw_name.decode("latin-1").strip().lower().replace("_", "-")
        if name in _NAMES:
            plain = _NO_CODING[""] | _NO_CODING.get(name, set())
            parts = [part.strip().lower() for part in raw_value.decode("latin-1").split(",")]
            found += [part for part in parts if part not in plain]
    return found


def decoder_of(content_encodings: Sequence[str]) -> Decoder | None:
    """The decoder for these codings, or header values; None for none. Raises UnreadableBodyError."""
    codings = [part.strip().lower() for value in content_encodings for part in value.split(",")]
    codings = [coding for coding in codings if coding not in {"", "identity"}]
    if not codings:
        return None
    if len(codings) > 1:
        raise UnreadableBodyError("more than one content coding")
    match codings[0]:
        case "gzip" | "x-gzip":
            return _Bounded(_Gzip())
        case "deflate":
            return _Bounded(_Deflate())
        case "br":
            return _Bounded(_Brotli())
    raise UnreadableBodyError("a content coding that is not known here")


class _Bounded:
    """Counts what another decoder lets out."""

    def __init__(self, inner: Decoder) -> None:
        self._inner = inner
        self._taken = 0
        self._decoded = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        self._taken += len(data)
        limit = min(MAX_DECODED_BYTES, FREE_BYTES + MAX_RATIO * self._taken)
        try:
            for piece in self._inner.decode(data):
                self._decoded += len(piece)
                if self._decoded > limit:
                    raise UnreadableBodyError("longer than what is looked into")
                yield piece
        except (zlib.error, brotli.error):
            raise UnreadableBodyError("not in its content coding") from None


class _Gzip:
    """RFC 1952: members one behind the other."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def decode(self, data: bytes) -> Iterator[bytes]:
        while data:
            yield (piece := self._member.decompress(data, PIECE_BYTES))
            data = self._member.unconsumed_tail
            if self._member.eof:
                data = self._member.unused_data
                self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
            elif not data and len(piece) == PIECE_BYTES:
                yield from _rest(self._member)


class _Deflate:
    """RFC 9110 section 8.4.1.2 means zlib's format; some clients send the bare stream."""

    def __init__(self) -> None:
        self._start = b""
        self._stream: zlib._Decompress | None = None

    def decode(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            self._start += data
            if len(self._start) < 2:
                return
            data, self._start = self._start, b""
            is_wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0  # RFC 1950 section 2.2
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if is_wrapped else -zlib.MAX_WBITS)
        while data:
            if self._stream.eof:
                raise UnreadableBodyError("bytes behind the end")
            yield (piece := self._stream.decompress(data, PIECE_BYTES))
            data = self._stream.unconsumed_tail or self._stream.unused_data
            if not data and len(piece) == PIECE_BYTES:
                yield from _rest(self._stream)


def _rest(stream: zlib._Decompress) -> Iterator[bytes]:
    """What zlib still holds of input that it has taken whole."""
    while piece := stream.decompress(b"", PIECE_BYTES):
        yield piece


class _Brotli:
    """RFC 7932."""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def decode(self, data: bytes) -> Iterator[bytes]:
        if data and self._stream.is_finished():
            raise UnreadableBodyError("bytes behind the end")
        yield self._stream.process(data, output_buffer_limit=PIECE_BYTES)
        # brotli 1.2 says that it can take more while it still has output of what it took.
        while not self._stream.is_finished():
            piece = self._stream.process(b"", output_buffer_limit=PIECE_BYTES)
            if not piece and self._stream.can_accept_more_data():
                return
            yield piece
