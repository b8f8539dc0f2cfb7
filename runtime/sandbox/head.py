"""The first line that a sandbox's init reads: command, environment, and how many bytes follow. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Self

from runtime.errors import InvalidInputError
from runtime.model.run import RunRequest
from runtime.model.secret import Secret
from runtime.sandbox.parcel import Parcel
from runtime.sandbox.sandbox_init import MAX_HEAD_BYTES

HEAD_ROOM_BYTES = 256 << 10
"""For what is added to it: the proxy's address and certificate, and placeholders for short values."""


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """What the init is told, but for what is known only once the sandbox has been made."""

    argv: tuple[str, ...]
    setup_argv: tuple[str, ...] | None
    env: Mapping[str, str]
    bundle: int
    """Bytes of it that follow; so of the others."""
    uploads: Mapping[str, int]
    input: int

    @classmethod
    def of(cls, request: RunRequest, parcel: Parcel) -> Self:
        """Of a run and the bytes that are handed over with it."""
        sizes = (parcel.bundle_size, parcel.upload_sizes, parcel.input_size)
        return cls(request.argv, request.setup_argv, request.env, *sizes)

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Self:
        """Read what `dataclasses.asdict` gives, as JSON has it. Raises KeyError or TypeError for another."""
        setup = data["setup_argv"]
        argv = {"argv": tuple(data["argv"]), "setup_argv": None if setup is None else tuple(setup)}
        return cls(**{**data, **argv})

    @property
    def payload_bytes(self) -> int:
        """How many bytes follow the head."""
        return self.bundle + sum(self.uploads.values()) + self.input

    def encode(self, given: Mapping[str, Secret], environment: Mapping[str, str], ca_pem: str) -> bytes:
        """The line; `given` are the sandbox's secrets, `environment` how its clients find the proxy."""
        head = {
            "v": 1,
            "argv": list(self.argv),
            "setup_argv": list(self.setup_argv) if self.setup_argv else None,
            "env": {**self.env, **environment},
            "secrets": {name: secret.reveal() for name, secret in given.items()},
            "ca_pem": ca_pem,
            "bundle": self.bundle,
            "uploads": [{"name": name, "size": size} for name, size in self.uploads.items()],
            "input": self.input,
        }
        return json.dumps(head).encode() + b"\n"

    def check(self, given: Mapping[str, Secret], upstream_ca_pem: str) -> None:
        """Refuse a command, environment and secrets that the init does not read. Raises InvalidInputError."""
        size = len(self.encode(given, {}, upstream_ca_pem))
        if size > MAX_HEAD_BYTES - HEAD_ROOM_BYTES:
            raise InvalidInputError(
                f"the run's command, environment and secrets take {size >> 10} KiB, of at most"
                f" {(MAX_HEAD_BYTES - HEAD_ROOM_BYTES) >> 10} KiB",
                hint="put large values into the input or the agent's files",
            )
