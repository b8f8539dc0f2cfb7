"""The `.env` file of an agent's directory: read on the caller's side, never packed, never through a link."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import InvalidInputError
from runtime.plain_file import read_text


def read_dotenv(path: Path) -> dict[str, str]:
    """NAME=value lines; quotes around a value are taken off. A missing file is empty.

    Raises InvalidInputError naming the line, never its content.
    """
    values = {}
    # Not through a link: an agent's author must not choose which of the caller's files is read.
    text = read_text(path, remedy="replace it by a file, or remove it") or ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip().removeprefix("export ").lstrip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip().isidentifier() or "\0" in value:
            raise InvalidInputError(f"{path}:{number}: expected NAME=value", hint="correct the line named")
        values[name.strip()] = _unquote(value.strip())
    return values


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] in "'\"" and value[0] == value[-1]:
        return value[1:-1]
    return value.partition(" #")[0].rstrip()
