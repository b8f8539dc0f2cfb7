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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from runtime.audit.chain import Head

KIND = "audit.checkpoint"
_TEXT = re.compile(r"([0-9]{1,18}):([0-9a-f]{64}):([A-Za-z0-9+/]{86}==)", re.ASCII)


class Signer:
    """Signs for one installation."""

    def __init__(self, key: Ed25519PrivateKey, installation: str) -> None:
        self._key = key
        self._installation = installation

    @classmethod
    def open(cls, key: Path, public: Path, installation: str) -> Signer:
        """With the key of this file, made where there is none. Raises OSError, and ValueError for no key."""
        try:
            data = key.read_bytes()
        except FileNotFoundError:
            data = _make(key)
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
        return cls(found, installation)

    def entry(self, head: Head) -> dict[str, object]:
        """What is sealed behind the line that it is about."""
        return {"seq": head.seq, "signature": self._signature(head)}

    def text(self, head: Head) -> str:
        """A checkpoint to be kept elsewhere."""
        return f"{head.seq}:{head.hash}:{self._signature(head)}"

    def _signature(self, head: Head) -> str:
        return base64.b64encode(self._key.sign(_message(self._installation, head))).decode()


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
    return seq == head.seq and _verifies(signature, installation, head, key)


def read_text(text: str, installation: str, key: Ed25519PublicKey) -> Head:
    """The head that a kept checkpoint vouches for. Raises ValueError for one that is not of this key."""
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise ValueError("not a checkpoint")
    head = Head(int(found[1]), found[2])
    if not _verifies(found[3], installation, head, key):
        raise ValueError("the checkpoint is not signed with this key")
    return head


def _verifies(signature: object, installation: str, head: Head, key: Ed25519PublicKey) -> bool:
    if not isinstance(signature, str):
        return False
    try:
        key.verify(base64.b64decode(signature, validate=True), _message(installation, head))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _make(key: Path) -> bytes:
    data = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _put(key, data, 0o600)
    return data


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


def _message(installation: str, head: Head) -> bytes:
    return f"orchbox audit\0{installation}\0{head.seq}\0{head.hash}".encode()
