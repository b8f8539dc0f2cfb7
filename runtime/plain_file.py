"""Reading a file that somebody else may have put there: only a regular one, never through a link."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from runtime.errors import InvalidInputError

MAX_TEXT_BYTES = 1 << 20
"""Of a file that one person writes, such as a manifest or an `.env`."""


def open_plain(path: Path) -> BinaryIO:
    """Open for reading, without waiting for a pipe's other end.

    Raises OSError, whose `strerror` says what is wrong, also for links, folders, pipes and devices.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "a symbolic link is not followed", str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(fd, "rb")


def read_text(path: Path, *, remedy: str, max_bytes: int = MAX_TEXT_BYTES) -> str | None:
    """The file's text, which is UTF-8; None where there is no file.

    Raises InvalidInputError naming the path, never its content: with `remedy` for what is no file that can
    be read, a link among them, and with a remedy of its own for one that is too long or no text.
    """
    try:
        with open_plain(path) as file:
            content = file.read(max_bytes + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise InvalidInputError(f"{path}: {exc.strerror}", hint=remedy) from None
    if len(content) > max_bytes:
        raise InvalidInputError(f"{path}: more than {max_bytes >> 20} MiB", hint="shorten it")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InvalidInputError(f"{path}: not UTF-8 text", hint="save the file as UTF-8") from None
