"""A cargo registry of one crate over the sparse protocol, built in memory."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

CRATE = "orchdemo"
VERSION = "1.0.0"
_MANIFEST = f'[package]\nname = "{CRATE}"\nversion = "{VERSION}"\nedition = "2021"\n'
_LIBRARY = 'pub const MESSAGE: &str = "orchdemo works";\n'


def routes() -> list[Route]:
    """The index (`sparse+https://host/`) and the crate's file."""
    crate = build_crate()
    line = {
        "name": CRATE,
        "vers": VERSION,
        "deps": [],
        "cksum": hashlib.sha256(crate).hexdigest(),
        "features": {},
        "yanked": False,
    }

    async def config(request: Request) -> Response:
        return JSONResponse({"dl": f"{request.url.scheme}://{request.headers['host']}/crates"})

    async def index(_: Request) -> Response:
        return PlainTextResponse(json.dumps(line) + "\n")

    async def file(_: Request) -> Response:
        return Response(crate, media_type="application/gzip")

    return [
        Route("/config.json", config),
        Route(f"/{CRATE[:2]}/{CRATE[2:4]}/{CRATE}", index),
        Route(f"/crates/{CRATE}/{VERSION}/download", file),
    ]


def build_crate() -> bytes:
    """A library crate of one constant."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in {"Cargo.toml": _MANIFEST, "src/lib.rs": _LIBRARY}.items():
            entry = tarfile.TarInfo(f"{CRATE}-{VERSION}/{name}")
            entry.size, entry.mode = len(text), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()
