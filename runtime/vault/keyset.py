"""Tink AES-256-GCM key sets: making, extending, wrapping them, and sealing text with them. Pure.

A sealed text is bound to its place (workspace, name, field): moved to another row, it does not open. It is
padded, so that a row's size tells a key from a certificate at most. Errors are KeysetError, without content.
"""

from __future__ import annotations

from typing import Self

import tink
from tink import aead, json_proto_keyset_format, proto_keyset_format, secret_key_access
from tink.proto import aes_gcm_pb2, tink_pb2

KEY_BYTES = 32
PADDED_TO = 256
_WRAPPED = b"orchbox vault key set 1"
_KEY_TYPE = "type.googleapis.com/google.crypto.tink.AesGcmKey"
_TOKEN = secret_key_access.TOKEN

aead.register()


class KeysetError(Exception):
    """A key set that cannot be read, or something that this key does not open."""


class Keyset:
    """Keys, of which the primary one encrypts and every one decrypts."""

    def __init__(self, handle: tink.KeysetHandle) -> None:
        self._handle = handle
        self.aead: aead.Aead = handle.primitive(aead.Aead)
        """For wrapping another key set."""

    def __repr__(self) -> str:
        return "Keyset(***)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Keyset is never serialised")

    @classmethod
    def new(cls) -> Self:
        """Make a key set of one fresh key."""
        return cls(tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read Tink's JSON form. Raises KeysetError."""
        try:
            handle = json_proto_keyset_format.parse(text, _TOKEN)
            binary = proto_keyset_format.serialize(handle, _TOKEN)
            keys = tink_pb2.Keyset.FromString(binary).key
            if not all(_is_aes_256_gcm(key) for key in keys):
                raise KeysetError("not a Tink key set of AES-256-GCM keys")
            return cls(handle)
        except tink.TinkError:
            raise KeysetError("not a Tink key set of AES-256-GCM keys") from None

    def to_json(self) -> str:
        """Tink's JSON form, in clear: for a file or variable that only its owner sees."""
        return str(json_proto_keyset_format.serialize(self._handle, _TOKEN))

    def with_new_primary(self) -> Keyset:
        """These keys, and a fresh one that encrypts from now on."""
        keys = tink_pb2.Keyset.FromString(proto_keyset_format.serialize(self._handle, _TOKEN))
        known = {key.key_id for key in keys.key}
        while True:
            fresh = tink_pb2.Keyset.FromString(proto_keyset_format.serialize(Keyset.new()._handle, _TOKEN))
            if fresh.primary_key_id not in known:
                break
        keys.MergeFrom(fresh)
        return Keyset(proto_keyset_format.parse(keys.SerializeToString(), _TOKEN))

    def newest(self, count: int) -> Keyset:
        """The last `count` keys, the primary among them: each new one is put behind the others."""
        keys = tink_pb2.Keyset.FromString(proto_keyset_format.serialize(self._handle, _TOKEN))
        if len(keys.key) <= count:
            return self
        kept = tink_pb2.Keyset(primary_key_id=keys.primary_key_id, key=list(keys.key)[-count:])
        return Keyset(proto_keyset_format.parse(kept.SerializeToString(), _TOKEN))

    def opens(self, wrapped: bytes) -> bool:
        """Whether a key of these unwraps it."""
        try:
            Keyset.unwrapped(wrapped, self.aead)
        except KeysetError:
            return False
        return True

    def wrapped(self, key: aead.Aead) -> bytes:
        """Encrypted with a key. Raises KeysetError when that key cannot be used."""
        try:
            return bytes(proto_keyset_format.serialize_encrypted(self._handle, key, _WRAPPED))
        except tink.TinkError as exc:
            raise KeysetError(_cause(exc)) from None

    @classmethod
    def unwrapped(cls, wrapped: bytes, key: aead.Aead) -> Self:
        """Decrypt what `wrapped` made. Raises KeysetError for another key, or bytes that were changed."""
        try:
            return cls(proto_keyset_format.parse_encrypted(wrapped, key, _WRAPPED))
        except tink.TinkError as exc:
            raise KeysetError(_cause(exc)) from None

    def seal(self, text: str, *place: str) -> bytes:
        """Encrypt a text that holds no NUL, for its place."""
        data = text.encode()
        return bytes(self.aead.encrypt(data + b"\0" * (-len(data) % PADDED_TO), _bound_to(place)))

    def open(self, sealed: bytes, *place: str) -> str:
        """Decrypt. Raises KeysetError for another place, another key, or bytes that were changed."""
        try:
            return bytes(self.aead.decrypt(sealed, _bound_to(place))).rstrip(b"\0").decode()
        except tink.TinkError as exc:
            raise KeysetError(_cause(exc)) from None


def _bound_to(place: tuple[str, ...]) -> bytes:
    """No part holds a NUL, so no two places give the same bytes."""
    return "\0".join(("orchbox vault row 1", *place)).encode()


def _is_aes_256_gcm(key: tink_pb2.Keyset.Key) -> bool:
    is_type = key.key_data.type_url == _KEY_TYPE and key.output_prefix_type == tink_pb2.TINK
    return is_type and len(aes_gcm_pb2.AesGcmKey.FromString(key.key_data.value).key_value) == KEY_BYTES


def _cause(exc: tink.TinkError) -> str:
    """The kind of a KMS client's own error, which Tink wraps; its text may hold anything."""
    inner = exc.args[0] if exc.args else None
    return type(inner).__name__ if isinstance(inner, Exception) else "it does not fit"
