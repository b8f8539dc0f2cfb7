"""The vault's key, whichever its source: what wraps the key set, and what unwraps it."""

from __future__ import annotations

from tink import aead

from runtime.errors import VaultKeyError
from runtime.vault import key_file
from runtime.vault.keyset import Keyset, KeysetError
from runtime.vault.source import EnvKey, FileKey, KeySource


def current(source: KeySource) -> aead.Aead:
    """The key as it is. Raises VaultKeyError; makes nothing."""
    if isinstance(source, FileKey):
        return key_file.read(source.path).aead
    if isinstance(source, EnvKey):
        return _from_variable(source).aead
    from runtime.vault.kms import kms_aead  # noqa: PLC0415 - its clients cost a start that needs none

    return kms_aead(source.uri)


def first(source: KeySource) -> aead.Aead:
    """The key for a vault that has never been used: a key file is made. Raises VaultKeyError."""
    return key_file.make_or_read(source.path).aead if isinstance(source, FileKey) else current(source)


def renewed(source: KeySource, *, wrapped: bytes) -> aead.Aead:
    """The key after a rotation: a file gets a new one; a variable and a KMS are their operator's to change.

    A key that opens `wrapped`, the vault's key set as it is, stays. Raises VaultKeyError.
    """
    if isinstance(source, FileKey):
        return key_file.add_primary(source.path, wrapped=wrapped).aead
    return current(source)


def wrap(keys: Keyset, key: aead.Aead, source: KeySource) -> bytes:
    """Raises VaultKeyError when the KMS refuses or is away."""
    try:
        return keys.wrapped(key)
    except KeysetError as exc:
        raise VaultKeyError(
            f"Failed to encrypt the vault's key set: {source} cannot be used ({exc})",
            hint="check that the KMS answers and lets this daemon use the key",
        ) from None


def unwrap(wrapped: bytes, sources: tuple[KeySource, ...]) -> Keyset:
    """The key set, by the first source whose key fits. Raises VaultKeyError of the first otherwise."""
    failures = []
    for source in sources:
        try:
            return _unwrap(wrapped, source)
        except VaultKeyError as exc:
            failures.append(exc)
    raise failures[0]


def _unwrap(wrapped: bytes, source: KeySource) -> Keyset:
    key = current(source)
    try:
        return Keyset.unwrapped(wrapped, key)
    except KeysetError as exc:
        raise VaultKeyError(
            f"Failed to decrypt the vault's key set with the key of {source} ({exc})",
            hint="give the daemon the key that this vault was written with; nothing was changed",
        ) from None


def _from_variable(source: EnvKey) -> Keyset:
    if source.value is None:
        raise VaultKeyError(
            f"Failed to read the vault's key: {source} is not set",
            hint=f"set {source.variable} for the daemon; `orch secrets new-key` makes a key for a new vault",
        )
    try:
        return Keyset.from_json(source.value.reveal())
    except KeysetError as exc:
        raise VaultKeyError(
            f"Failed to read the vault's key: {source}: {exc}", hint="`orch secrets new-key` prints one"
        ) from None
