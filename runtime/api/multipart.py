"""The body of `POST /v1/runs`, read into memory and nowhere else.

Starlette keeps large parts in temporary files, and the `request` part holds secrets: none may touch a disk.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from runtime.api.run_body import MAX_UPLOADS, check_uploads
from runtime.errors import InvalidInputError, TooLargeError, UnsupportedTypeError

MAX_FILE_BYTES = 64 << 20
"""Of a run's bundle and uploads together."""
MAX_REQUEST_BYTES = 40 << 20
MAX_BODY_BYTES = MAX_FILE_BYTES + MAX_REQUEST_BYTES + (1 << 20)

BODY_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["request"],
                    "properties": {
                        "request": {"type": "string", "contentMediaType": "application/json"},
                        "bundle": {"type": "string", "format": "binary", "description": "a tar"},
                        "upload": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    },
                }
            }
        },
    }
}
"""What FastAPI cannot tell from a route that reads its body itself."""


class Parts(NamedTuple):
    """The parts of one multipart body: the request as text, the bundle and the uploads."""

    request: str
    bundle: bytes
    uploads: dict[str, bytes]


def bytes_of(parts: Parts) -> list[bytes]:
    """What was sent, but for the form's boundary, which differs each time, and the order of the uploads."""
    uploads = sorted(parts.uploads.items())
    named = [each for name, data in uploads for each in (name.encode(errors="surrogatepass"), data)]
    return [parts.request.encode(errors="surrogatepass"), parts.bundle, *named]


class _InMemoryParser(MultiPartParser):
    spool_max_size = MAX_BODY_BYTES + 1
    is_whole = False
    """Whether the closing boundary came: what is cut short is left out without a word (starlette 1.10)."""

    def on_end(self) -> None:
        self.is_whole = True

    def close(self) -> None:
        """Let go of every part, also of one that was cut short and is no part of the form."""
        for file in self._files_to_close_on_error:
            file.close()


async def read_parts(request: Request) -> Parts:
    """Read and check the form. Raises InvalidInputError; its text repeats nothing of the body."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise UnsupportedTypeError("the body is no multipart/form-data", hint="send a form")
    parser = _InMemoryParser(
        request.headers,
        _bounded(request),
        max_files=MAX_UPLOADS + 1,
        max_fields=1,
        max_part_size=MAX_REQUEST_BYTES,
    )
    try:
        form = await parser.parse()
    except MultiPartException as exc:
        raise InvalidInputError(f"the form cannot be read: {exc.message}", hint="send a form") from None
    try:
        if not parser.is_whole:
            raise InvalidInputError("the form is cut short", hint="send it up to its closing boundary")
        return await _sort(form)
    finally:
        parser.close()


async def _bounded(request: Request) -> AsyncGenerator[bytes]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise TooLargeError("the run's files are more than 64 MiB", hint="send less")
        yield chunk


async def _sort(form: FormData) -> Parts:
    text = form.get("request")
    if not isinstance(text, str):
        raise InvalidInputError("request: the form has no such text field", hint="send request as a field")
    if unknown := {name for name in form if name not in {"request", "bundle", "upload"}}:
        raise InvalidInputError(f"the form has {len(unknown)} unknown parts", hint="request, bundle, upload")
    bundles = [part for part in form.getlist("bundle") if isinstance(part, UploadFile)]
    uploads = [part for part in form.getlist("upload") if isinstance(part, UploadFile)]
    if len(bundles) > 1:
        raise InvalidInputError("bundle: more than one", hint="send one tar")
    if sum(part.size or 0 for part in (*bundles, *uploads)) > MAX_FILE_BYTES:
        raise TooLargeError("the run's files are more than 64 MiB", hint="send less")
    check_uploads([part.filename or "" for part in uploads])
    bundle = await bundles[0].read() if bundles else b""
    return Parts(text, bundle, {part.filename or "": await part.read() for part in uploads})
