"""One daemon per run directory: a pid file that the kernel unlocks when its holder dies.

The number alone proves nothing, since pids are used again and a daemon in a container has one of its own
namespace: only a lock that is held does, by a process here that has the file open.

The first line is the pid, the second one names whose daemon it is: a run directory may be shared by mistake.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from runtime.daemon.locks import try_lock
from runtime.errors import ConflictError, NotReadyError

MAX_NOTE_BYTES = 16384


class Owner(NamedTuple):
    """An installation, as its pid file names it."""

    home: str
    instance: str


class Holder(NamedTuple):
    """The daemon that holds a pid file."""

    pid: int
    is_here: bool
    """Whether the pid means the holder in this pid namespace; not so for a daemon in a container."""
    owner: Owner | None
    """None for a daemon of a version that did not say."""


@contextmanager
def held(path: Path, owner: Owner) -> Iterator[None]:
    """Hold the file while the daemon of this installation lives.

    Raises ConflictError when another one does, NotReadyError when it cannot be written.
    """
    fd = _locked(path)
    try:
        note = f"{os.getpid()}\n{json.dumps(owner._asdict())}\n".encode()
        os.pwrite(fd, note, 0)  # before it is cut to size: it is at no moment empty under a lock
        os.ftruncate(fd, len(note))
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(fd)


def _locked(path: Path) -> int:
    """The file's descriptor, with its lock: of the file that has the name now.

    One that was opened before its holder unlinked it is nobody's any more.
    """
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise NotReadyError(
                f"{path}: {exc.strerror}", hint="set ORCHBOX_RUN_DIR to a writable path"
            ) from None
        if not try_lock(fd, fcntl.LOCK_EX, partial(_pid, fd)):
            os.close(fd)
            raise ConflictError(f"a daemon is already running (pid file {path})", hint="orch down")
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(fd), path.stat(follow_symlinks=False)):
                return fd
        os.close(fd)


def holder(path: Path) -> Holder | None:
    """The daemon that holds the file, or None where none does."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if try_lock(fd, fcntl.LOCK_SH, partial(_pid, fd)):
            return None  # nobody holds it: its writer is dead
        if not (pid := _pid(fd)):
            return None
        return Holder(pid, _has_open(pid, os.fstat(fd)), _owner(_note(fd)[1]))
    finally:
        os.close(fd)


def _pid(fd: int) -> int:
    """The one that the file names; 0 where it names none."""
    pid, _ = _note(fd)
    return int(pid) if pid.strip().isdecimal() else 0


def _note(fd: int) -> tuple[str, str]:
    pid, _, rest = os.pread(fd, MAX_NOTE_BYTES, 0).decode(errors="replace").partition("\n")
    return pid, rest


def _owner(text: str) -> Owner | None:
    try:
        said = json.loads(text.partition("\n")[0])
        return Owner(str(said["home"]), str(said["instance"]))
    except (ValueError, KeyError, TypeError):
        return None


def _has_open(pid: int, file: os.stat_result) -> bool:
    """Whether this process has the file open; assumed of one that we may not look at, or signal."""
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except PermissionError:
        return True
    except OSError:
        return False
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            if os.path.samestat(descriptor.stat(), file):
                return True
    return False
