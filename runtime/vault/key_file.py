"""The key in a file: its owner's alone (0600), made once, only ever extended, never half written."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from runtime.errors import VaultKeyError
from runtime.plain_file import open_plain
from runtime.vault.keyset import Keyset, KeysetError

MAX_BYTES = 1 << 20
LOST = "put the key back from its backup; without it the secrets are lost and must be set again"


def read(path: Path) -> Keyset:
    """Raises VaultKeyError saying what to do; a missing file is never made here."""
    try:
        with open_plain(path) as file:
            _check_rights(path, os.fstat(file.fileno()))
            return Keyset.from_json(file.read(MAX_BYTES).decode())
    except OSError as exc:
        raise VaultKeyError(f"Failed to read the vault's key: {path}: {exc.strerror}", hint=LOST) from None
    except (KeysetError, UnicodeDecodeError):
        raise VaultKeyError(
            f"Failed to read the vault's key: {path} is no Tink key set of AES-256-GCM keys", hint=LOST
        ) from None


def make_or_read(path: Path) -> Keyset:
    """The file's key, or a fresh one where there is no file. Raises VaultKeyError."""
    if not path.exists():
        with _explained(path), _draft(path, Keyset.new()) as draft, contextlib.suppress(FileExistsError):
            os.link(draft, path)  # unlike rename, it never takes another daemon's place
            _sync_folder(path)
    return read(path)


def add_primary(path: Path) -> Keyset:
    """A fresh key in the file, beside those that are there. Raises VaultKeyError."""
    with _explained(path), _exclusive(path):
        keys = read(path).with_new_primary()
        with _draft(path, keys) as draft:
            draft.rename(path)
            _sync_folder(path)
    return keys


def _check_rights(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise VaultKeyError(
            f"Failed to read the vault's key: {path} belongs to another user",
            hint=f"chown {os.geteuid()} {path}, if you know who put it there",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise VaultKeyError(
            f"Failed to read the vault's key: others may read or change {path}",
            hint=f"chmod 600 {path}, then orch secrets rotate",
        )


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise VaultKeyError(
            f"Failed to write the vault's key: {path}: {exc.strerror}",
            hint="make its folder writable for the daemon, or set ORCHBOX_VAULT_KEY",
        ) from None


@contextlib.contextmanager
def _draft(path: Path, keys: Keyset) -> Iterator[Path]:
    """A whole, private file beside `path`, gone afterwards unless it was renamed."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(prefix=".vault-key-", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(keys.to_json())
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """One at a time: two that add a key to the same old file would lose one."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _sync_folder(path: Path) -> None:
    """The name is on disk before anything is encrypted with what it names."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
