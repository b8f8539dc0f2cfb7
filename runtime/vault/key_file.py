"""The key in a file: its owner's alone (0600), made once, never half written; a rotation adds a key to it.

The newest keys are kept, up to a number, and the one that opens the vault as it is: what a thousand rotations
ago was backed up opens with the key file of that time only.
"""

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
MAX_KEYS = 1000
"""Each is 306 bytes."""
_DRAFT = ".vault-key-"
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
        with _explained(path), _exclusive(path), _draft(path, Keyset.new()) as draft:
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)  # unlike rename, it never takes another daemon's place
            _sync_folder(path)
    return read(path)


def add_primary(path: Path, *, wrapped: bytes | None = None) -> Keyset:
    """A fresh key in the file, beside those that are there, of which the oldest beyond MAX_KEYS go.

    None goes that opens `wrapped`, the vault's key set. Raises VaultKeyError, having changed nothing.
    """
    with _explained(path), _exclusive(path):
        keys = _trimmed(read(path).with_new_primary(), wrapped)
        if len(keys.to_json()) > MAX_BYTES:  # it could never be read again
            raise VaultKeyError(
                f"Failed to write the vault's key: {path} would be longer than {MAX_BYTES >> 20} MiB",
                hint="move it: set ORCHBOX_VAULT_KEY to a new file and ORCHBOX_VAULT_KEY_OLD to this"
                " one, restart the daemon, orch secrets rotate",
            )
        with _draft(path, keys) as draft:
            draft.rename(path)
            _sync_folder(path)
    return keys


def _trimmed(keys: Keyset, wrapped: bytes | None) -> Keyset:
    newest = keys.newest(MAX_KEYS)
    if wrapped is None or newest.opens(wrapped) or not keys.opens(wrapped):
        return newest
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
    descriptor, name = tempfile.mkstemp(prefix=_DRAFT, dir=path.parent)
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
    """One at a time: two that add a key to the same old file would lose one.

    So whatever draft is there is of one that was killed, and goes: it holds keys.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        for left in path.parent.glob(f"{_DRAFT}*"):
            left.unlink(missing_ok=True)
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
