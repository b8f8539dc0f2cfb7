"""The key under which bodies are hashed: in a file of the daemon's home, never in a database.

A body may hold a secret that can be guessed. With a plain hash of it, whoever has a copy of the database
could try guesses for as long as they like.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Iterable
from pathlib import Path

from runtime.errors import NotReadyError
from runtime.plain_file import open_plain

KEY_BYTES = 32
_LABEL = b"orchbox idempotency key 1"


class HashKey:
    """Hashes bodies."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.id = hmac.digest(key, _LABEL, "sha256").hex()[:16]
        """Says which key it is, and nothing about it."""

    def __repr__(self) -> str:
        return f"HashKey({self.id})"

    def hash(self, parts: Iterable[bytes]) -> bytes:
        """The hash of these parts in their order; no two lists of parts are hashed alike."""
        made = hmac.new(self._key, digestmod="sha256")
        for part in parts:
            made.update(len(part).to_bytes(8))
            made.update(part)
        return made.digest()


def make_or_read(path: Path) -> HashKey:
    """The file's key, or a fresh one where there is no file. Raises NotReadyError naming the file."""
    try:
        if not path.exists():
            _make(path)
        with open_plain(path) as file:
            key = bytes.fromhex(file.read(1024).decode())
    except OSError as exc:
        raise NotReadyError(f"{path}: {exc.strerror}", hint="check the rights of ORCHBOX_HOME") from None
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise NotReadyError(f"{path}: it holds no key", hint=f"remove {path}: a new one is made")
    return HashKey(key)


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".idempotency-")  # 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # unlike rename, it never takes another daemon's place
    finally:
        Path(draft).unlink()
