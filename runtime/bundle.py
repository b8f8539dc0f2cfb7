"""An agent's directory as a tar: what the sandbox's home will hold.

Left out, as the platform's CLI does: the manifest, version control, environments, caches, `.env`.
"""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from runtime.errors import InvalidInputError

MAX_BYTES = 50 << 20
LEFT_OUT = {
    ".env",
    ".git",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".venv",
    "Dockerfile",
    "__pycache__",
    "node_modules",
    "orchagent.json",
    "venv",
}


def bundle_of(folder: Path) -> bytes:
    """The tar of a directory's files, owned by nobody in particular.

    Raises InvalidInputError for a link (it might lead outside) and beyond 50 MB.
    """
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for path in _files(folder):
            if path.is_symlink():
                raise InvalidInputError(f"{path}: a symbolic link is not packed", hint="replace it by a file")
            info = archive.gettarinfo(path, arcname=str(path.relative_to(folder)))
            info.uid = info.gid = 1000
            info.uname = info.gname = ""
            with path.open("rb") as file:
                archive.addfile(info, file)
            if target.tell() > MAX_BYTES:
                raise InvalidInputError(
                    f"{folder}: more than 50 MB of files", hint="move data out of the agent"
                )
    return target.getvalue()


def _files(folder: Path) -> list[Path]:
    found = []
    for root, folders, names in os.walk(folder):
        for name in list(folders):
            path = Path(root, name)
            if path.is_symlink():
                found.append(path)
        folders[:] = sorted(
            name for name in folders if name not in LEFT_OUT and not Path(root, name).is_symlink()
        )
        found += [Path(root, name) for name in sorted(names) if name not in LEFT_OUT]
    return found
