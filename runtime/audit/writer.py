"""Appends lines to the audit's files, on the thread that calls: whole batches, flushed, then the head.

A batch is there as a whole or not at all. What a power cut leaves of one is taken off at the next start, and
a line says how much that was; what is missing although the head says that it was there is told by one, too.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from runtime.audit.chain import Head, Line, genesis, seal
from runtime.audit.checkpoint import HEAD_BYTES, KIND, Signer
from runtime.audit.files import AuditFolder, end_of
from runtime.plain_file import open_plain

MAX_FILE_BYTES = 16 << 20
CHECKPOINT_LINES = 1000
"""Between two signatures; one more is made at the end of each file and when the daemon stops."""


class Entry(NamedTuple):
    """What a line says."""

    at: float
    kind: str
    who: str
    data: Mapping[str, object]


class AuditWriter:
    """Of one folder. No method may be called by two threads at a time."""

    def __init__(self, folder: AuditFolder, signer: Signer, head: Head, number: int) -> None:
        """Use `open`."""
        self.folder = folder
        self.head = head
        self._signer = signer
        self._signed = head.seq
        self._number = number
        self._file, self._size = self._open_file(number)
        self._has_junk = False
        self.is_head_behind = False
        """Whether the head could not be written; the next attempt is with the next lines."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._head_file = os.open(folder.head, flags, 0o600)
        # Its room is taken here: on a full disk it is written over all the same.
        size = os.fstat(self._head_file).st_size
        os.pwrite(self._head_file, b" " * (HEAD_BYTES - size), size)

    @classmethod
    def open(cls, folder: AuditFolder, installation: str, *, at: float) -> AuditWriter:
        """Go on behind the last whole line. Raises OSError, and ValueError for a key that is none."""
        folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.path.chmod(0o700)
        signer = Signer.open(folder.key, folder.public, installation, head=folder.head)
        files = folder.files()
        beginning = head = genesis(installation)
        torn = end_of(files[-1])[1] if files else 0
        for path in reversed(files):
            found, _ = end_of(path)
            if found is not None:
                head = found.head
                break
        known = None if signer.is_new and files else _known_head(folder, signer)
        is_there = known is not None and (known == beginning or folder.has(known))
        writer = cls(folder, signer, head, int(files[-1].stem) if files else 1)
        writer._begin(torn, at)
        if not is_there:
            writer._miss(known, at)
        return writer

    def write(self, entries: Sequence[Entry], at: float) -> None:
        """Append them. Raises OSError, with nothing of them written."""
        batch, head = [], self.head
        for entry in entries:
            line, head = _sealed(entry, head)
            batch.append(line)
        signed = self._signed
        if head.seq - signed >= CHECKPOINT_LINES:
            line, head = self._checkpoint(head, at)
            batch.append(line)
            signed = head.seq
        if batch:
            self._append(b"".join(batch), head)
            self._signed = signed
        elif self.is_head_behind:
            self._put_head()
        if self._size >= MAX_FILE_BYTES:
            with contextlib.suppress(OSError):  # the lines are there: what failed is tried with the next ones
                self._rotate(at)

    def prune(self, before: float, at: float, *, is_dry: bool) -> int:
        """Remove whole files, the oldest first, whose last line is older than this; how many lines.

        The line's own time counts: a file's date can be changed by who cannot make a line. A line that says
        where they ended is written first. Raises OSError.
        """
        gone, last, lines = [], None, 0
        for path in self.folder.files()[:-1]:
            found, _ = end_of(path)
            if found is None or _at(found) >= before:
                break
            gone.append(path)
            last = found.head
            with open_plain(path) as file:
                lines += sum(1 for _ in file)
        if last is None or is_dry:
            return lines
        self.write([Entry(at, "audit.pruned", "daemon", {"seq": last.seq, "hash": last.hash})], at)
        for path in gone:
            path.unlink()
        return lines

    def close(self, at: float) -> None:
        """Sign what there is."""
        with contextlib.suppress(OSError):
            self._sign(at)
        os.close(self._file)
        os.close(self._head_file)

    def _begin(self, torn: int, at: float) -> None:
        if torn:
            self._size -= torn
            os.ftruncate(self._file, self._size)
            self.write([Entry(at, "audit.torn", "daemon", {"bytes": torn})], at)

    def _miss(self, known: Head | None, at: float) -> None:
        """What the head knows of is not there; or there is no head, which we never take away."""
        missing = {"seq": None, "hash": None} if known is None else known._asdict()
        self.write([Entry(at, "audit.missing", "daemon", missing)], at)

    def _open_file(self, number: int) -> tuple[int, int]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.open(self.folder.file(number), flags, 0o600)
        return file, os.fstat(file).st_size

    def _append(self, data: bytes, head: Head) -> None:
        place = self.folder.file(self._number)
        if not (_is_at(self._file, place) and _is_at(self._head_file, self.folder.head)):
            raise OSError(errno.ESTALE, "a file of it was removed or replaced under the daemon")
        if self._has_junk:
            self._take_off()
        try:
            if os.write(self._file, data) != len(data):
                raise _full()
            os.fdatasync(self._file)
        except OSError:
            self._has_junk = True
            with contextlib.suppress(OSError):
                self._take_off()
            raise
        self._size += len(data)
        self.head = head
        self._put_head()

    def _take_off(self) -> None:
        """What of a batch that failed is there."""
        os.ftruncate(self._file, self._size)
        self._has_junk = False

    def _put_head(self) -> None:
        """Behind the lines, never before them: a head that is too old takes nothing away.

        Never raises, as the lines are there and must not be written twice.
        """
        try:
            os.pwrite(self._head_file, self._signer.head_file(self.head), 0)
        except OSError:
            self.is_head_behind = True
        else:
            self.is_head_behind = False

    def _checkpoint(self, head: Head, at: float) -> tuple[bytes, Head]:
        return _sealed(Entry(at, KIND, "daemon", self._signer.entry(head)), head)

    def _sign(self, at: float) -> None:
        if self.head.seq > self._signed:
            self._append(*self._checkpoint(self.head, at))
            self._signed = self.head.seq

    def _rotate(self, at: float) -> None:
        self._sign(at)
        previous = self._file
        self._file, self._size = self._open_file(self._number + 1)
        self._number += 1
        os.close(previous)


def _sealed(entry: Entry, head: Head) -> tuple[bytes, Head]:
    """An entry that is too long or no JSON is on record as such: it takes nobody's line away."""
    front = {"at": entry.at, "kind": entry.kind, "who": entry.who}
    try:
        return seal({**front, "data": dict(entry.data)}, head)
    except (TypeError, ValueError, RecursionError):
        return seal({**front, "data": {"unwritable": True}}, head)


def _known_head(folder: AuditFolder, signer: Signer) -> Head | None:
    try:
        return signer.read(folder.read_head())
    except OSError:
        return None


def _is_at(file: int, path: Path) -> bool:
    """Whether the open file is the one with this name still."""
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(file), named)


def _at(line: Line) -> float:
    """When it was written; a line that does not say so is never old."""
    at = line.entry.get("at")
    return at if isinstance(at, int | float) else math.inf


def _full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
