"""Where the audit's lines are: files of a folder, numbered in their order.

<home>/audit/<instance>/000001.jsonl ...     0600, in a folder of 0700
<home>/audit/<instance>/head                 the checkpoint of the last line, made anew with each
<home>/audit/<instance>/key.pem              signs checkpoints, 0600
<home>/audit/<instance>/public.pem           checks them; keep a copy elsewhere
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from runtime.audit.chain import MAX_LINE_BYTES, Head, Line, read_line
from runtime.audit.checkpoint import HEAD_BYTES
from runtime.plain_file import open_plain

_NAME = re.compile(r"[0-9]{6,}\.jsonl")
_LONGEST = MAX_LINE_BYTES + 1
"""Of a line that is read: what is longer is no line, and is told as such without being held."""
_NO_FILE = frozenset({errno.EINVAL, errno.ELOOP, errno.ENXIO})
"""A folder, a pipe, a link, a socket (`open_plain`)."""
_TAIL_BYTES = 4 * MAX_LINE_BYTES


@dataclass(frozen=True, slots=True)
class AuditFolder:
    """One installation's."""

    path: Path

    @classmethod
    def of(cls, home: Path, instance: str) -> AuditFolder:
        """That of an instance of this home."""
        return cls(home / "audit" / instance)

    @property
    def key(self) -> Path:
        """The signing key."""
        return self.path / "key.pem"

    @property
    def public(self) -> Path:
        """Its other half."""
        return self.path / "public.pem"

    @property
    def head(self) -> Path:
        """How far the chain has come."""
        return self.path / "head"

    def files(self) -> list[Path]:
        """Those with lines, in their order."""
        if not self.path.is_dir():
            return []
        found = [path for path in self.path.iterdir() if _NAME.fullmatch(path.name)]
        return sorted(found, key=lambda path: int(path.stem))

    def file(self, number: int) -> Path:
        """The one with this number."""
        return self.path / f"{number:06}.jsonl"

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """Every line of every file with its place; of what is no file, one that is no line.

        What stands behind the last newline of all is no line yet, or none any more: the head tells which.

        Raises OSError: FileNotFoundError for a file that was pruned meanwhile, behind one that was read.
        """
        files = self.files()
        while files and not os.path.lexists(files[0]):  # pruned since they were listed
            files = self.files()
        for path in files:
            number = 0
            try:
                file = open_plain(path)
            except OSError as exc:
                if exc.errno not in _NO_FILE:
                    raise
                yield f"{path.name}:1", b""
                continue
            with file:
                while line := file.readline(_LONGEST):
                    number += 1
                    is_unfinished = not line.endswith(b"\n") and len(line) < _LONGEST
                    if not (is_unfinished and path == files[-1]):
                        yield f"{path.name}:{number}", line

    def read_head(self) -> str:
        """What `head` says. Raises OSError."""
        with open_plain(self.head) as file:
            return file.read(HEAD_BYTES).decode("ascii", "replace").strip()

    def has(self, head: Head) -> bool:
        """Whether this line stands in one of the last two files. Raises OSError."""
        end = f'"hash":"{head.hash}"}}\n'.encode()
        for path in self.files()[-2:]:
            with open_plain(path) as file:
                if end in file.read():
                    return True
        return False


def end_of(path: Path) -> tuple[Line | None, int]:
    """The last whole line near a file's end, and how many bytes stand behind its last newline.

    Raises OSError.
    """
    with open_plain(path) as file:
        size = file.seek(0, os.SEEK_END)
        whole = _behind_last_newline(file, size)
        start = max(0, whole - _TAIL_BYTES)
        file.seek(start)
        # Nothing but a newline ends a line: `splitlines` would take a CR within a torn one for an end.
        for piece in reversed(file.read(whole - start).split(b"\n")[:-1]):
            found = read_line(piece + b"\n", path.name)
            if isinstance(found, Line):
                return found, size - whole
    return None, size - whole


def _behind_last_newline(file: BinaryIO, end: int) -> int:
    """However far back it is: a power cut may leave any length of zeros."""
    while end > 0:
        start = max(0, end - _TAIL_BYTES)
        file.seek(start)
        if (at := file.read(end - start).rfind(b"\n")) >= 0:
            return start + at + 1
        end = start
    return 0
