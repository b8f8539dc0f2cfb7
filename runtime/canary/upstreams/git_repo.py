"""A git repository over dumb HTTP, its loose objects made in memory: no git is needed to serve it."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

REPOSITORY = "/orchdemo.git"
README = "A repository served by the simulator.\n"
_WHO = "Simulator <simulator@ok.test> 1760000000 +0000"


def routes() -> list[Route]:
    """Every file a clone over dumb HTTP asks for."""
    return [Route(REPOSITORY + path, _file(data)) for path, data in repository_files().items()]


def repository_files() -> dict[str, bytes]:
    """Path below the repository's URL -> content."""
    files: dict[str, bytes] = {}
    blob = _add(files, "blob", README.encode())
    tree = _add(files, "tree", b"100644 README.md\0" + bytes.fromhex(blob))
    text = f"tree {tree}\nauthor {_WHO}\ncommitter {_WHO}\n\nFirst commit\n"
    commit = _add(files, "commit", text.encode())
    files["/HEAD"] = b"ref: refs/heads/main\n"
    files["/info/refs"] = f"{commit}\trefs/heads/main\n".encode()
    files["/objects/info/packs"] = b"\n"
    return files


def _add(files: dict[str, bytes], kind: str, data: bytes) -> str:
    whole = f"{kind} {len(data)}\0".encode() + data
    name = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
    files[f"/objects/{name[:2]}/{name[2:]}"] = zlib.compress(whole)
    return name


def _file(data: bytes) -> Callable[[Request], Awaitable[Response]]:
    async def serve(_: Request) -> Response:
        return Response(data, media_type="text/plain")

    return serve
