"""An apt repository of one package, built in memory; it is unsigned, so a source says `trusted=yes`.

The source is `deb [trusted=yes] https://host/ /`: a flat repository.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PACKAGE = "orchdemo"
VERSION = "1.0.0"
FILE_NAME = f"{PACKAGE}_{VERSION}_all.deb"
_CONTROL = f"""Package: {PACKAGE}
Version: {VERSION}
Architecture: all
Maintainer: Simulator <simulator@ok.test>
Description: the demo package
"""


def routes() -> list[Route]:
    """The release file, the index and the package."""
    package = build_package()
    index = (
        f"{_CONTROL}Filename: {FILE_NAME}\nSize: {len(package)}\n"
        f"SHA256: {hashlib.sha256(package).hexdigest()}\n"
    ).encode()
    sums = f" {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
    release = f"Date: Thu, 09 Oct 2025 08:53:20 UTC\nSHA256:\n{sums}".encode()
    files = {"Release": release, "Packages": index, FILE_NAME: package}
    return [Route(f"/{name}", _file(data)) for name, data in files.items()]


def build_package() -> bytes:
    """A package that holds nothing but its description."""
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": _tar({"./control": _CONTROL.encode()}),
        "data.tar.gz": _tar({}),
    }
    out = b"!<arch>\n"
    for name, data in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        out += data + b"\n" * (len(data) % 2)
    return out


def _tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _file(data: bytes) -> Callable[[Request], Awaitable[Response]]:
    async def serve(_: Request) -> Response:
        return Response(data, media_type="application/octet-stream")

    return serve
