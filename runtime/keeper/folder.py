"""A run's folder: its keeper's socket, its journal and its result, for as long as the run is not recorded.

    <home>/keepers/<run id>/  sock  pid  journal.jsonl  result.json

Only their owner can read them (0700, 0600), and what is in them is redacted. A killed daemon finds its runs
again here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class KeeperFolder:
    """One run's."""

    path: Path

    @property
    def run_id(self) -> str:
        """Whose it is."""
        return self.path.name

    @property
    def journal(self) -> Path:
        """The run's events, one message a line."""
        return self.path / "journal.jsonl"

    @property
    def result(self) -> Path:
        """The agent's result as JSON, once it has one."""
        return self.path / "result.json"

    @property
    def pid(self) -> int | None:
        """The keeper's process, where it has said so."""
        with contextlib.suppress(OSError, ValueError):
            return int((self.path / "pid").read_text())
        return None

    def note_pid(self) -> None:
        """Say that this process is the keeper. Raises OSError."""
        file = AppendOnly(self.path / "pid")
        try:
            file.add(str(os.getpid()).encode())
        finally:
            file.close()

    def listen(self) -> socket.socket:
        """Make the folder and listen in it. Raises OSError, for a run that has a keeper too."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700)
        listener = socket.socket(socket.AF_UNIX)
        try:
            with self.socket_path() as path:
                listener.bind(path)
            listener.listen()
        except BaseException:
            listener.close()
            raise
        return listener

    @contextmanager
    def socket_path(self) -> Iterator[str]:
        """A path to the socket that is short however long the folder's is (unix(7): 107 bytes)."""
        fd = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            yield f"/proc/self/fd/{fd}/sock"
        finally:
            os.close(fd)

    def remove(self) -> None:
        """Remove all of it; nothing where it is gone."""
        shutil.rmtree(self.path, ignore_errors=True)


def folder_of(home: Path, run_id: str) -> KeeperFolder:
    """A run's folder. Raises ValueError for what is no run's id."""
    if not _RUN_ID.fullmatch(run_id):
        raise ValueError("not the id of a run")
    return KeeperFolder(home / run_id)


def folders(home: Path) -> list[KeeperFolder]:
    """The folders of all runs that are not recorded."""
    with contextlib.suppress(FileNotFoundError):
        return [KeeperFolder(path) for path in sorted(home.iterdir()) if _RUN_ID.fullmatch(path.name)]
    return []


class AppendOnly:
    """A file of ours that is only ever added to."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, for one that is there already too."""
        self._path = path
        self._fd = os.open(path, _NEW_FILE, 0o600)

    def add(self, data: bytes) -> None:
        """Add all of it, or nothing. Raises OSError where the disk takes no more."""
        size, view = os.fstat(self._fd).st_size, memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            os.ftruncate(self._fd, size)
            raise

    def read(self) -> bytes:
        """All of it."""
        return self._path.read_bytes()

    def close(self) -> None:
        """Nothing more is added."""
        os.close(self._fd)
