"""An agent's directory as a tar: what the sandbox's home will hold.

Left out, as the platform's CLI does: the manifest, tests and docs, version control, environments, caches,
archives, and every `.env` (keys do not travel as files). `bundle.include` of the manifest wins over both
`bundle.exclude` and this, but for `.env` files and the manifest.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from runtime.agents.manifest import MANIFEST, BundleSection
from runtime.errors import InvalidInputError
from runtime.plain_file import open_plain

MAX_BYTES = 50 << 20
MAX_FILES = 20_000
AGENT_UID = 1000
NEVER = (MANIFEST, ".env", ".env.*", ".git")
"""Whatever the manifest includes."""
LEFT_OUT = (
    *("*.pyc", "*.zip", ".DS_Store", ".github", ".gitignore", ".gitlab-ci.yml"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv", "__pycache__", "node_modules", "venv"),
)
"""Names, at any depth."""
LEFT_OUT_AT_TOP = (
    "Dockerfile",
    "README*",
    "docs",
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "test",
    "tests",
)


def bundle_of(folder: Path, *, rules: BundleSection | None = None, entry: str | None = None) -> bytes:
    """The tar of a directory's files. `entry` is packed whatever the rules say.

    Raises InvalidInputError for a link (it might lead outside), a device and the like, a file that cannot
    be read, and beyond 50 MB or 20 000 files.
    """
    rules = rules or BundleSection()
    keep = (*rules.include, *((Path(entry).as_posix(),) if entry else ()))
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for count, path in enumerate(_files(folder, keep, rules.exclude), 1):
            if count > MAX_FILES:
                raise InvalidInputError(f"{folder}: more than {MAX_FILES} files", hint="use bundle.exclude")
            _add(archive, path, path.relative_to(folder).as_posix(), room=MAX_BYTES - target.tell())
    return target.getvalue()


def _files(folder: Path, keep: tuple[str, ...], exclude: tuple[str, ...]) -> Iterator[Path]:
    """The packed files in order; links to folders too, so that they are refused and not skipped."""

    def fail(error: OSError) -> None:
        raise InvalidInputError(f"{error.filename}: {error.strerror}", hint="make it readable, or exclude it")

    for root, folders, names in os.walk(folder, onerror=fail):
        here = Path(root)
        links = [name for name in folders if (here / name).is_symlink()]
        for name in sorted((*names, *links)):
            if _is_packed((here / name).relative_to(folder).as_posix(), keep, exclude):
                yield here / name
        folders[:] = sorted(
            name
            for name in folders
            if name not in links and _is_entered((here / name).relative_to(folder).as_posix(), keep, exclude)
        )


def _is_packed(path: str, keep: tuple[str, ...], exclude: tuple[str, ...]) -> bool:
    if any(fnmatchcase(part, pattern) for part in path.split("/") for pattern in NEVER):
        return False
    return _matches(path, keep) or not (_is_left_out(path) or _matches(path, exclude))


def _is_entered(path: str, keep: tuple[str, ...], exclude: tuple[str, ...]) -> bool:
    """A folder that is left out is not even listed, unless something below it is to be kept."""
    if _is_packed(path, keep, exclude):
        return True
    is_never = any(fnmatchcase(part, pattern) for part in path.split("/") for pattern in NEVER)
    return not is_never and any(_may_lie_below(path, pattern) for pattern in keep)


def _may_lie_below(path: str, pattern: str) -> bool:
    """Whether the pattern can match below this folder: compared part by part, `*` may span several."""
    for have, want in zip(path.split("/"), pattern.split("/"), strict=False):
        if "**" in want:
            return True
        if not fnmatchcase(have, want):
            return False
    return len(pattern.split("/")) > len(path.split("/"))


def _is_left_out(path: str) -> bool:
    parts = path.split("/")
    if any(fnmatchcase(parts[0], pattern) for pattern in LEFT_OUT_AT_TOP):
        return True
    return any(fnmatchcase(part, pattern) for part in parts for pattern in LEFT_OUT)


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    """By path, by a folder above it, or by name where the pattern holds no slash."""
    parts = path.split("/")
    above = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    for pattern in (pattern.rstrip("/") for pattern in patterns):
        candidates = [*above, *([] if "/" in pattern else parts)]
        if any(fnmatchcase(candidate, pattern) for candidate in candidates):
            return True
    return False


def _add(archive: tarfile.TarFile, path: Path, name: str, *, room: int) -> None:
    try:
        with open_plain(path) as file:
            state = os.fstat(file.fileno())
            content = file.read(room + 1) if state.st_size <= room else None
    except OSError as exc:
        hint = "replace it by a file" if path.is_symlink() else "make it a readable file, or exclude it"
        raise InvalidInputError(f"{path}: {exc.strerror}", hint=hint) from None
    if content is None or len(content) > room:
        raise InvalidInputError(
            f"{path.parent}: more than 50 MB of files",
            hint="move data out of the agent, or use bundle.exclude",
        )
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(content), int(state.st_mtime)
    info.mode = 0o755 if state.st_mode & stat.S_IXUSR else 0o644
    info.uid = info.gid = AGENT_UID
    archive.addfile(info, io.BytesIO(content))
