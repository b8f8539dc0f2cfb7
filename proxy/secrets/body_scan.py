"""A request's body on its way up: searched as it is and, where it has a content coding, decoded.

scan = BodyScan(forms, content_encodings=["gzip"])
upstream.write(scan.feed(chunk))   # LeakError, UnreadableBodyError
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from proxy.secrets.body_codings import Decoder, UnreadableBodyError, decoder_of
from proxy.secrets.forms import SecretForms
from proxy.secrets.leak_scan import LeakScan

MAX_HELD_BYTES = 256 << 10
"""Of coded bytes that wait for what they decode to; a body that makes them wait longer is refused."""


class BodyScan:
    """One body. Raises UnreadableBodyError for a coding that cannot be looked into."""

    def __init__(self, forms: Iterable[SecretForms], content_encodings: Sequence[str] = ()) -> None:
        forms = tuple(forms)
        self._plain = LeakScan(forms)
        self._decoded = LeakScan(forms)
        self._decoder: Decoder | None = decoder_of(content_encodings)
        self._waiting = b""

    def feed(self, data: bytes) -> bytes:
        """What may leave now. Raises LeakError, UnreadableBodyError."""
        released = self._plain.feed(data)  # coded too: a gzip header has room for text
        if self._decoder is None:
            return released
        for piece in self._decoder.decode(data):
            self._decoded.feed(piece)
        self._waiting += data
        if self._plain.is_holding or self._decoded.is_holding:
            if len(self._waiting) > MAX_HELD_BYTES:
                raise UnreadableBodyError("decodes to nothing for too long")
            return b""
        released, self._waiting = self._waiting, b""
        return released

    def finish(self) -> bytes:
        """What waited, once the body has ended. Raises LeakError."""
        rest = self._plain.finish()
        self._decoded.finish()
        if self._decoder is not None:
            rest, self._waiting = self._waiting, b""
        return rest
