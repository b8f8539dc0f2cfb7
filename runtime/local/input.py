"""The input document of a run on the caller's own machine: its paths are the caller's. Pure but for `cwd`."""

from __future__ import annotations

import json
from pathlib import Path

PATH_FIELDS = ("path", "directory", "file_path")
"""In which the platform's CLI expects the caller's paths."""


def with_absolute_paths(data: str, cwd: Path) -> str:
    """The document with the caller's relative paths made absolute, since the agent works elsewhere."""
    document = json.loads(data)
    if not isinstance(document, dict):
        return data
    relative = {
        field: str(cwd / value)
        for field in PATH_FIELDS
        if isinstance(value := document.get(field), str) and value and not Path(value).is_absolute()
    }
    return json.dumps({**document, **relative}) if relative else data
