"""What is handed to a sandbox once: held here until then, and by nothing after it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from runtime.model.run import RunRequest


class Parcel:
    """A run's bundle, uploads and input, up to 80 MiB, in the order in which they are sent."""

    def __init__(self, request: RunRequest) -> None:
        self.bundle_size = len(request.bundle)
        self.upload_sizes = {name: len(data) for name, data in request.uploads.items()}
        self.input_size = len(request.input)
        self._parts = [request.input, *reversed(request.uploads.values()), request.bundle]

    @classmethod
    def out_of(cls, request: RunRequest) -> tuple[RunRequest, Parcel]:
        """The request without its bytes, for the whole run, and the bytes."""
        return dataclasses.replace(request, bundle=b"", uploads={}, input=b""), cls(request)

    @property
    def held_bytes(self) -> int:
        """How much is not sent yet."""
        return sum(map(len, self._parts))

    def unpack(self) -> Iterator[bytes]:
        """The parts, each let go of as it is given."""
        while self._parts:
            yield self._parts.pop()

    def drop(self) -> None:
        """Nobody reads the rest."""
        self._parts.clear()
