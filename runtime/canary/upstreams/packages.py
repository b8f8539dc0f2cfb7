"""A Python index with one wheel and an npm registry with one tarball, both built in memory."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

PROJECT = "orchdemo"
VERSION = "1.0.0"
MESSAGE = "orchdemo works"
_WHEEL_NAME = f"{PROJECT}-{VERSION}-py3-none-any.whl"
_TARBALL_NAME = f"{PROJECT}-{VERSION}.tgz"


def pip_routes() -> list[Route]:
    """A simple repository API (PEP 503) under /simple/."""
    wheel = build_wheel()
    digest = hashlib.sha256(wheel).hexdigest()

    async def projects(_: Request) -> Response:
        return HTMLResponse(f'<!DOCTYPE html><a href="/simple/{PROJECT}/">{PROJECT}</a>')

    async def project(_: Request) -> Response:
        link = f'<a href="/files/{_WHEEL_NAME}#sha256={digest}">{_WHEEL_NAME}</a>'
        return HTMLResponse(f"<!DOCTYPE html>{link}")

    async def file(_: Request) -> Response:
        return Response(wheel, media_type="application/octet-stream")

    return [
        Route("/simple/", projects),
        Route(f"/simple/{PROJECT}/", project),
        Route(f"/files/{_WHEEL_NAME}", file),
    ]


def npm_routes() -> list[Route]:
    """A registry that knows one package."""
    tarball = build_tarball()

    async def packument(request: Request) -> Response:
        url = f"{request.url.scheme}://{request.headers['host']}/{PROJECT}/-/{_TARBALL_NAME}"
        dist = {
            "tarball": url,
            "shasum": hashlib.sha1(tarball, usedforsecurity=False).hexdigest(),
            "integrity": "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode(),
        }
        release = {"name": PROJECT, "version": VERSION, "main": "index.js", "dist": dist}
        listed = {"name": PROJECT, "dist-tags": {"latest": VERSION}, "versions": {VERSION: release}}
        return JSONResponse(listed)

    async def file(_: Request) -> Response:
        return Response(tarball, media_type="application/octet-stream")

    async def audit(_: Request) -> Response:
        return JSONResponse({})

    return [
        Route(f"/{PROJECT}", packument),
        Route(f"/{PROJECT}/-/{_TARBALL_NAME}", file),
        Route("/-/npm/v1/security/{rest:path}", audit, methods=["POST"]),
    ]


def build_wheel() -> bytes:
    """A wheel of one module, valid down to its RECORD."""
    info = f"{PROJECT}-{VERSION}.dist-info"
    files = {
        f"{PROJECT}.py": f'"""The demo project."""\n\nMESSAGE = "{MESSAGE}"\n',
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {PROJECT}\nVersion: {VERSION}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = [f"{name},sha256={_digest(text)},{len(text)}" for name, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return out.getvalue()


def build_tarball() -> bytes:
    """An npm package of one module."""
    files = {
        "package/package.json": f'{{"name":"{PROJECT}","version":"{VERSION}","main":"index.js"}}',
        "package/index.js": f'module.exports = "{MESSAGE}";\n',
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
