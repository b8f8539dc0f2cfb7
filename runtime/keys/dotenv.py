"""The `.env` file of an agent's directory: read on the caller's side, never packed, never through a link."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import InvalidInputError
from runtime.plain_file import open_plain

MAX_BYTES = 1 << 20


def read_dotenv(path: Path) -> dict[str, str]:
    """NAME=value lines; quotes around a value are taken off. A missing file is empty.

    Raises InvalidInputError naming the line, never its content.
    """
    values = {}
    for number, raw in enumerate(_text(path).splitlines(), 1):
        line = raw.strip().removeprefix("export ").lstrip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip().isidentifier() or "\0" in value:
            raise InvalidInputError(f"{path}:{number}: expected NAME=value", hint="correct the line named")
        values[name.strip()] = _unquote(value.strip())
    return values


def _text(path: Path) -> str:
    """Not through a link: an agent's author must not choose which of the caller's files is read."""
    try:
        with open_plain(path) as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InvalidInputError(f"{path}: more than 1 MiB", hint="keep NAME=value lines only")
        return content.decode()
    except FileNotFoundError:
        return ""
    except OSError as exc:
        raise InvalidInputError(
            f"{path}: {exc.strerror}", hint="replace it by a file, or remove it"
        ) from None
    except UnicodeDecodeError:
        raise InvalidInputError(f"{path}: not UTF-8 text", hint="save the file as UTF-8") from None


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] in "'\"" and value[0] == value[-1]:
        return value[1:-1]
    return value.partition(" #")[0].rstrip()
