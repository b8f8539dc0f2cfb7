"""Checkpoints: an Ed25519 signature (RFC 8032) over how far a chain has come.

Whoever keeps a checkpoint, or only the public key, elsewhere can tell later that what stood before it is
still there: without the key nobody makes another chain to it. As text, for keeping:

    <seq>:<hash of that line>:<signature in base64>
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from runtime.audit.chain import Head, genesis

KIND = "audit.checkpoint"
HEAD_BYTES = 256
"""Of the file `head`, which is written over in its place."""
_LINE, _HEAD = "line", "head"
"""What a signature is of."""
_TEXT = re.compile(r"([0-9]{1,18}):([0-9a-f]{64}):([A-Za-z0-9+/]{86}==)", re.ASCII)


class Signer:
    """Signs for one installation."""

    def __init__(self, key: Ed25519PrivateKey, installation: str, *, is_new: bool = False) -> None:
        self._key = key
        self._installation = installation
        self.is_new = is_new
        """Whether there was no key."""

    @classmethod
    def open(cls, key: Path, public: Path, installation: str, *, head: Path | None = None) -> Signer:
        """With the key of this file, made where there is none.

        Raises OSError, and ValueError for no key, or one that others can reach.

        Where the key is new, the head of a chain without lines is written to `head` first: there is no key
        without a head, unless somebody has taken it away.
        """
        is_new = False
        try:
            data = key.read_bytes()
            if stat.S_IMODE(key.stat().st_mode) & 0o077:
                raise ValueError(f"{key.name} is open to others: chmod 600 it if nobody has read it")
        except FileNotFoundError:
            is_new, made = True, Ed25519PrivateKey.generate()
            if head is not None:
                _put(head, cls(made, installation).head_file(genesis(installation)), 0o600)
            data = _pem(made)
            _put(key, data, 0o600)
        try:
            found = serialization.load_pem_private_key(data, None)
        except (ValueError, TypeError):
            found = None
        if not isinstance(found, Ed25519PrivateKey):
            raise ValueError(f"{key.name} is not an Ed25519 key")
        shown = found.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        if not public.is_file() or public.read_bytes() != shown:
            _put(public, shown, 0o644)
        return cls(found, installation, is_new=is_new)

    def entry(self, head: Head) -> dict[str, object]:
        """What is sealed behind the line that it is about."""
        return {"seq": head.seq, "signature": self._signature(_LINE, head)}

    def text(self, head: Head) -> str:
        """A checkpoint to be kept elsewhere."""
        return f"{head.seq}:{head.hash}:{self._signature(_HEAD, head)}"

    def head_file(self, head: Head) -> bytes:
        """The same, as the file `head` has it."""
        return self.text(head).encode().ljust(HEAD_BYTES - 1) + b"\n"

    def read(self, text: str) -> Head | None:
        """The head that such a text of this key vouches for."""
        try:
            return read_text(text, self._installation, self._key.public_key())
        except ValueError:
            return None

    def _signature(self, what: str, head: Head) -> str:
        return base64.b64encode(self._key.sign(_message(what, self._installation, head))).decode()


def read_public(path: Path) -> Ed25519PublicKey:
    """The key that checks. Raises OSError, and ValueError for no such key."""
    found = serialization.load_pem_public_key(path.read_bytes())
    if not isinstance(found, Ed25519PublicKey):
        raise ValueError(f"{path}: not an Ed25519 key")
    return found


def is_signed(entry: Mapping[str, Any], installation: str, head: Head, key: Ed25519PublicKey) -> bool:
    """Whether the data of this checkpoint, behind this head, were made with the key."""
    try:
        signature, seq = entry["signature"], entry["seq"]
    except (KeyError, TypeError):
        return False
    return seq == head.seq and _verifies(_LINE, signature, installation, head, key)


def read_text(text: str, installation: str, key: Ed25519PublicKey) -> Head:
    """The head that a kept checkpoint vouches for. Raises ValueError for one that is not of this key."""
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise ValueError("not a checkpoint")
    head = Head(int(found[1]), found[2])
    if not _verifies(_HEAD, found[3], installation, head, key):
        raise ValueError("the checkpoint is not signed with this key")
    return head


def _verifies(what: str, signature: object, installation: str, head: Head, key: Ed25519PublicKey) -> bool:
    if not isinstance(signature, str):
        return False
    try:
        key.verify(base64.b64decode(signature, validate=True), _message(what, installation, head))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _put(path: Path, data: bytes, mode: int) -> None:
    """All of it or nothing, also where the power goes."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)


def _message(what: str, installation: str, head: Head) -> bytes:
    """A line is no head: or whoever can read the lines could put an older one of them into its place."""
    return f"orchbox audit {what}\0{installation}\0{head.seq}\0{head.hash}".encode()
