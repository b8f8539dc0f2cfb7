"""One exported prompt on the disk: what is there now, may it be replaced, and replacing it.

A file that somebody changed by hand, or that we did not make, is left alone. Nothing is written through a
link: not the file's, nor a folder's on the way to it that leads elsewhere. A file is replaced whole or not at
all.
"""

from __future__ import annotations

import enum
import hashlib
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from runtime.errors import InvalidInputError
from runtime.install.formats import Format, Scope, markers
from runtime.install.prompt import PromptAgent
from runtime.plain_file import read_text

MAX_BYTES = 16 << 20
"""Of a file that others write too."""


class State(enum.StrEnum):
    """What is found where an export belongs."""

    ABSENT = "absent"
    CURRENT = "current"
    OUTDATED = "outdated"
    """As we wrote it, and no longer what would be written."""
    EDITED = "edited"
    FOREIGN = "foreign"
    """Not made by us."""


class Export(NamedTuple):
    """A text and its place."""

    format: Format
    scope: Scope
    path: Path
    reference: str
    text: str

    @property
    def digest(self) -> str:
        """Of what we write: a whole file, or our block of one."""
        return digest(self.text)


def digest(text: str) -> str:
    """SHA-256, as the platform's record has it."""
    return hashlib.sha256(text.encode()).hexdigest()


def export_of(agent: PromptAgent, format_: Format, scope: Scope, *, home: Path, cwd: Path) -> Export:
    """Where an agent goes; a scope that the format does not know gives way to its own."""
    used = scope if scope in format_.scopes else format_.scopes[0]
    path = (home if used == "user" else cwd) / format_.path.format(name=agent.name)
    return Export(format_, used, path, agent.reference, format_.render(agent))


def state_of(export: Export, tracked: str | None) -> State:
    """`tracked` is the digest of what we wrote there. Raises InvalidInputError for what cannot be read."""
    _check_folders(export)
    whole = _read(export.path)
    found = _block(export, whole) if whole is not None and export.format.is_block else whole
    if found is None:
        return State.ABSENT
    if found == export.text:
        return State.CURRENT
    if tracked is None:
        return State.FOREIGN
    return State.OUTDATED if digest(found) == tracked else State.EDITED


def write(export: Export) -> None:
    """Make or replace it. Raises InvalidInputError naming the path."""
    _check_folders(export)
    text = export.text
    if export.format.is_block:
        whole = _read(export.path) or ""
        block = _block(export, whole)
        gap = "" if not whole else "\n" if whole.endswith("\n") else "\n\n"
        text = whole.replace(block, export.text) if block is not None else whole + gap + export.text
    try:
        export.path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(export.path, text)
    except OSError as exc:
        raise InvalidInputError(f"{export.path}: {exc.strerror}", hint="make it writable") from None


def _check_folders(export: Export) -> None:
    """A project is somebody's work: a linked folder in it could lead anywhere. A home may be spread by links.

    Raises InvalidInputError.
    """
    own = len(Path(export.format.path).parts) - 1
    folders, (base, *_) = export.path.parents[:own], [*export.path.parents[own:], Path("/")]
    is_home = export.scope == "user"
    for folder in folders:
        if folder.is_symlink() and not (is_home and folder.resolve().is_relative_to(base.resolve())):
            raise InvalidInputError(
                f"{folder} is a link, and nothing is written through one",
                hint="replace it by a folder, or remove it",
            )


def replace_file(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Whole or not at all; an existing file keeps its permissions. Raises OSError."""
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(name).chmod(path.stat().st_mode & 0o777 if path.exists() else mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _block(export: Export, whole: str) -> str | None:
    """Our block with its markers. Raises InvalidInputError where it is not one block."""
    first, last = markers(export.reference)
    starts, ends = whole.count(first), whole.count(last)
    if not starts and not ends:
        return None
    start, end = whole.find(first), whole.find(last)
    if (starts, ends) != (1, 1) or end < start:
        raise InvalidInputError(
            f"{export.path}: the markers of {export.reference} do not enclose one block",
            hint=f"correct or remove the lines {first} and {last}",
        )
    end += len(last)
    return whole[start : end + 1] if whole[end : end + 1] == "\n" else whole[start:end]


def _read(path: Path) -> str | None:
    return read_text(path, max_bytes=MAX_BYTES, remedy="replace it by a file, or remove it")
