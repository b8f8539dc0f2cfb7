"""Who this daemon is, for good: a random id in ORCHBOX_HOME for each instance name, and a lock beside it.

The id is on everything that the daemon makes on the engine, and in the records of its runs. It outlives a
restart, so that a daemon finds what it left itself; another home has another id, whatever its instance is
called. The lock keeps two daemons with two run directories from being one installation.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from runtime.containers import labels
from runtime.containers.owner import this_process
from runtime.daemon.locks import try_lock
from runtime.daemon.pidfile import Holder, Owner
from runtime.daemon.settings import Settings
from runtime.errors import ConflictError, NotReadyError

_ID = re.compile(r"[0-9a-f]{32}")


class Keeper(NamedTuple):
    """The daemon that holds an installation."""

    pid: int
    run_dir: str


def known(settings: Settings) -> str | None:
    """The installation's id, or None where no daemon has run yet. Raises NotReadyError for a broken file."""
    path = _id_file(settings)
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise _unusable(path, exc) from None
    if not _ID.fullmatch(text):
        raise NotReadyError(
            f"{path}: it holds no installation's id", hint=f"remove {path}, then orch down --foreign"
        )
    return text


def identify(settings: Settings) -> str:
    """The installation's id, made where there is none. Raises NotReadyError where it cannot be kept."""
    found = known(settings)
    if found is not None:
        return found
    path = _id_file(settings)
    new = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:  # noqa: PTH123
            file.write(uuid.uuid4().hex)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another one was faster, and its id is the one
            os.link(new, path)
        new.unlink()
    except OSError as exc:
        raise _unusable(path, exc) from None
    return known(settings) or identify(settings)


def marks(settings: Settings, installation: str) -> dict[str, str]:
    """The labels that everything of this daemon carries on the engine."""
    return {
        labels.INSTALLATION: installation,
        labels.RUN_DIR: str(settings.run_dir),
        labels.DAEMON: this_process(),
    }


@contextmanager
def held(settings: Settings) -> Iterator[None]:
    """Be the installation's only daemon. Raises ConflictError naming the other one, NotReadyError."""
    path = _lock_file(settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise _unusable(path, exc) from None
    try:
        if not try_lock(fd, fcntl.LOCK_EX, lambda: _read(fd).pid):
            raise in_use(settings, _read(fd))
        note = json.dumps({"pid": os.getpid(), "run_dir": str(settings.run_dir)}).encode()
        os.pwrite(fd, note, 0)
        os.ftruncate(fd, len(note))
        yield
    finally:
        os.close(fd)  # the file stays: who unlinks it while another waits for it makes two locks of one


def keeper(settings: Settings) -> Keeper | None:
    """The daemon that holds the installation, or None where none does."""
    try:
        fd = os.open(_lock_file(settings), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return None if try_lock(fd, fcntl.LOCK_SH, lambda: _read(fd).pid) else _read(fd)
    finally:
        os.close(fd)


def in_use(settings: Settings, other: Keeper) -> ConflictError:
    """Another run directory's daemon is this installation."""
    return ConflictError(
        f"the instance {settings.instance} of {settings.home} is run by the daemon of run directory"
        f" {other.run_dir or 'unknown'} (pid {other.pid or 'unknown'})",
        hint=f"ORCHBOX_RUN_DIR={other.run_dir} orch down, or choose another ORCHBOX_INSTANCE",
    )


def owner(settings: Settings) -> Owner:
    """What this installation's daemon says of itself in its pid file."""
    return Owner(str(settings.home.resolve()), settings.instance)


def require_own(settings: Settings, holder: Holder) -> None:
    """Raise ConflictError where the daemon of our run directory is another installation's."""
    if holder.owner == owner(settings):
        return
    if holder.owner is None:  # of a version that did not say: the lock tells
        other = keeper(settings)
        if other is not None and other.pid == holder.pid:
            return
        whose, hint = "another installation's", "set ORCHBOX_HOME and ORCHBOX_INSTANCE as for that daemon"
    else:
        home, instance = holder.owner
        whose = f"the instance {instance} of {home}"
        hint = f"ORCHBOX_HOME={home} ORCHBOX_INSTANCE={instance} orch down"
    raise ConflictError(
        f"the daemon of run directory {settings.run_dir} (pid {holder.pid}) is {whose},"
        f" not the instance {settings.instance} of {settings.home}",
        hint=f"{hint}, or choose another ORCHBOX_RUN_DIR",
    )


def _read(fd: int) -> Keeper:
    try:
        said = json.loads(os.pread(fd, 8192, 0))
        return Keeper(int(said["pid"]), str(said["run_dir"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Keeper(0, "")


def _id_file(settings: Settings) -> Path:
    return settings.home / f"{settings.instance}.installation"


def _lock_file(settings: Settings) -> Path:
    return settings.home / f"{settings.instance}.lock"


def _unusable(path: Path, exc: Exception) -> NotReadyError:
    said = exc.strerror if isinstance(exc, OSError) else type(exc).__name__
    return NotReadyError(f"{path}: {said}", hint="set ORCHBOX_HOME to a writable path")
