"""A sandbox's /etc/resolv.conf: a file of ours for each proxy address, which names the proxy only.

The engine would name its own resolver there (127.0.0.11), which one process serves for all containers. The
file lies in a folder that only the daemon's user writes to. Its bytes depend on the address alone, and are
compared at each use: an engine that restarts a container, or anybody else, may have written to it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.errors import NotReadyError

TARGET = "/etc/resolv.conf"
OPTIONS = ("ndots:0", "timeout:2", "attempts:1")
ENGINE_OPTIONS = ("ndots:none", *OPTIONS[1:])
"""What the engine is told in their place. Before version 26 it then starts no resolver in the sandbox at all:
it cannot read the number, says so in its log, and goes on without (libnetwork, `rebuildDNS`). Later ones drop
such an option. Nothing reads the file that it writes, and glibc would take the word for 0."""
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755
_SUFFIX = ".conf"


def text_for(address: str) -> str:
    """What resolv.conf(5) reads: one name server, and no domain that is searched."""
    return f"nameserver {address}\noptions {' '.join(OPTIONS)}\n"


class ResolvConfs:
    """The files of one daemon, in a folder that is made when it is needed.

    Every method raises NotReadyError where the folder is not ours alone or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, address: str) -> str:
        """Have the file of this address there, with exactly its text; its name in the folder."""
        name, text = address + _SUFFIX, text_for(address).encode()
        with self._opened() as folder:
            if not _is_as_written(name, text, folder):
                _replace(name, text, folder)
        return name

    def remove(self, address: str) -> None:
        """Nobody needs it any more; a container that has it mounted keeps it."""
        with self._opened() as folder, contextlib.suppress(FileNotFoundError):
            os.unlink(address + _SUFFIX, dir_fd=folder)

    def remove_all_but(self, addresses: Collection[str]) -> None:
        """Remove what an earlier daemon left, half-written files too."""
        kept = {address + _SUFFIX for address in addresses}
        with self._opened() as folder:
            for name in os.listdir(folder):  # noqa: PTH208 - of the folder that was looked at
                if name not in kept:
                    os.unlink(name, dir_fd=folder)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            with contextlib.suppress(FileExistsError):
                self.folder.mkdir(mode=_FOLDER_MODE, parents=True)
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                found = os.fstat(folder)
                if found.st_uid != os.geteuid() or found.st_mode & 0o022:
                    raise NotReadyError(
                        f"{self.folder}: another user may write to it", hint=f"remove {self.folder}"
                    )
                yield folder
            finally:
                os.close(folder)
        except OSError as exc:
            raise NotReadyError(
                f"{self.folder}: {exc.strerror}",
                hint="set ORCHBOX_RUN_DIR to a path that the daemon may write",
            ) from None


def _is_as_written(name: str, text: bytes, folder: int) -> bool:
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:  # not there, or a link
        return False
    try:
        found = os.fstat(file)
        is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1
        return is_ours and stat.S_IMODE(found.st_mode) == _FILE_MODE and os.read(file, len(text) + 1) == text
    finally:
        os.close(file)


def _replace(name: str, text: bytes, folder: int) -> None:
    """At no moment is the file there with less than its text."""
    new = f".{name}-{uuid.uuid4().hex}"
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with open(file, "wb") as out:  # noqa: PTH123 - a descriptor
            out.write(text)
            os.fchmod(file, _FILE_MODE)  # whatever the umask
        os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new, dir_fd=folder)
        raise
