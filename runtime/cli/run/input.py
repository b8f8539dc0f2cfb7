"""The agent's stdin: the caller's JSON, or the platform's document of files around it."""

from __future__ import annotations

import json
import mimetypes
import os
import re
import sys
from pathlib import Path
from typing import Any

from runtime.errors import InvalidInputError
from runtime.model.json_value import parse_json

MAX_INPUT_BYTES = 16 << 20
MAX_FILE_BYTES = 60 << 20
UPLOADS = "/tmp/uploads"  # noqa: S108 - the agent contract's path, inside the sandbox


def read_upload(file: Path) -> bytes:
    """The file's content. Raises InvalidInputError naming it."""
    try:
        if not file.is_file() and file.exists():
            raise InvalidInputError(f"{file}: not a regular file", hint="pack a folder into one file")
        if file.stat().st_size > MAX_FILE_BYTES:
            raise InvalidInputError(f"{file}: more than 60 MiB", hint="give less")
        return file.read_bytes()
    except OSError as exc:
        raise InvalidInputError(f"{file}: {exc.strerror}", hint="name a file that can be read") from None


def stored_name(name: str) -> str:
    """The name in the sandbox: one that every step between here and there leaves as it is."""
    return re.sub(r"[^\w. -]", "_", name)


def read_data(data: str | None) -> str:
    """The caller's JSON, as it was written. Raises InvalidInputError."""
    text = _read(data)
    try:
        parse_json(text if text.strip() else "{}")
    except ValueError as exc:
        raise InvalidInputError(
            f"--data: not JSON: {exc}",
            hint='quote it for the shell, as in --data \'{"text": "hello"}\'',
        ) from None
    return text if text.strip() else "{}"


def document(data: str, files: dict[str, bytes], *, uploads: str = UPLOADS) -> str:
    """The agent's stdin: the data, or around it the files (original names, contents) kept in `uploads`."""
    if not files:
        return data
    described = [_describe(name, content, uploads) for name, content in files.items()]
    return json.dumps({"files": described, "metadata": json.loads(data)})


def _describe(name: str, content: bytes, uploads: str) -> dict[str, Any]:
    return {
        "path": f"{uploads}/{stored_name(name)}",
        "original_name": name,
        "content_type": mimetypes.guess_type(name)[0] or "application/octet-stream",
        "size_bytes": len(content),
    }


def _read(data: str | None) -> str:
    """JSON as it stands, `@FILE`, or `-` and `@-` for stdin."""
    if data is None:
        return ""
    try:
        if data != "-" and not data.startswith("@"):
            return _argument(data)
        if data in {"-", "@-"}:
            content = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
        else:
            with Path(data[1:]).expanduser().open("rb") as file:
                content = file.read(MAX_INPUT_BYTES + 1)
        if len(content) > MAX_INPUT_BYTES:
            raise InvalidInputError("--data: more than 16 MiB", hint="give it as FILE instead")
        return content.decode()
    except OSError as exc:
        raise InvalidInputError(
            f"--data {data}: {exc.strerror}", hint="name a file that can be read"
        ) from None
    except UnicodeError:
        shown = data if data.startswith(("-", "@")) else ""
        raise InvalidInputError(
            f"--data {shown}".strip() + ": not UTF-8 text", hint="give it as FILE instead"
        ) from None


def _argument(data: str) -> str:
    """What was typed: in a locale that is not UTF-8, Python has taken the bytes for other letters."""
    try:
        return os.fsencode(data).decode()
    except UnicodeError:
        data.encode()  # or it is no text at all
        return data
