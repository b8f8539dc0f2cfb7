"""Values in a sandbox's environment: in no part of a request to a host that they are not meant for."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote

import brotli
import httpx
import pytest

from tests.unit.proxy.secrets.test_forms import SHAPES, VALUE
from tests.wire.conftest import Rig
from tests.wire.secrets import DB, DB_SECRET, GrantSecret, give_keys, reason, send
from tests.wire.test_http2 import converse, head
from tests.wire.test_refusals import client

IN_HEAD = {
    "method": {"method": DB},
    "path": {"target": f"/x/{DB}/y"},
    "query": {"target": f"/x?a={quote(DB).replace('-', '%2d')}"},
    "header": {"headers": {"x-a": f"prefix {DB}"}},
    "authorization": {"headers": {"authorization": "Basic " + base64.b64encode(f"u:{DB}".encode()).decode()}},
    "cookie": {"headers": {"cookie": f"a={DB.encode().hex()}"}},
}


@pytest.mark.parametrize("place", IN_HEAD)
async def test_a_value_in_a_head_is_refused_before_any_dial(rig: Rig, place: str):
    """Target and headers are judged whole: nothing goes upstream."""
    await give_keys(rig)
    response = await send(rig, "ok.test", **{"target": "/x", **IN_HEAD[place]})

    assert (response.status_code, reason(response)) == (403, "secret_leak")
    assert rig.upstream.accepts == 0
    assert [line["reason_code"] for line in rig.lines] == ["secret_leak"]
    assert DB not in json.dumps(rig.lines).lower()


def pieces(body: bytes, size: int) -> Callable[[], AsyncIterator[bytes]]:
    """A body that is sent piece by piece."""

    async def stream() -> AsyncIterator[bytes]:
        for at in range(0, len(body), size):
            yield body[at : at + size]
            await asyncio.sleep(0)

    return stream


@pytest.mark.parametrize("size", [7, 100_000])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_value_in_a_body_is_cut_before_it_leaves(rig: Rig, shape: str, size: int):
    """In every shape, over any pieces: what reached the upstream holds nothing of the form."""
    await give_keys(rig, GrantSecret("DB_PASSWORD", VALUE))
    before = b"x" * 300
    response = await send(rig, "ok.test", "/x", content=pieces(before + SHAPES[shape] + b"y" * 300, size)())

    assert (response.status_code, reason(response)) == (403, "secret_leak")
    assert before.startswith(bytes(rig.upstream.body)[:290])
    assert len(rig.upstream.body) <= len(before) + 12
    assert [line["reason_code"] for line in rig.lines] == [None, "secret_leak"]


ENCODERS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress}


@pytest.mark.parametrize("coding", ENCODERS)
async def test_a_value_in_a_compressed_body_is_cut(rig: Rig, coding: str):
    """The coded bytes that hold it do not leave."""
    await give_keys(rig)
    body = ENCODERS[coding](b"The quick brown fox. " * 99 + DB.encode() + b" jumps")
    response = await send(
        rig, "ok.test", "/x", headers={"content-encoding": coding}, content=pieces(body, 9)()
    )

    assert (response.status_code, reason(response)) == (403, "secret_leak")
    assert len(rig.upstream.body) < len(body)


@pytest.mark.parametrize(
    ("coding", "body"),
    [("zstd", b"x"), ("gzip, gzip", b"x"), ("gzip", b"no gzip"), ("br", brotli.compress(bytes(70 << 20)))],
)
async def test_a_body_that_cannot_be_looked_into_is_refused(rig: Rig, coding: str, body: bytes):
    """An unknown coding, two of them, a broken one, a bomb: never let through unread."""
    await give_keys(rig)
    response = await send(rig, "ok.test", "/x", headers={"content-encoding": coding}, content=body)
    assert (response.status_code, reason(response)) == (403, "secret_leak")


@pytest.mark.parametrize("coding", [*ENCODERS, None])
async def test_what_holds_no_value_arrives_as_it_was_sent(rig: Rig, coding: str | None):
    """Byte for byte, whatever the pieces."""
    await give_keys(rig)
    text = (b"%64atabase-passwor" + b"The quick brown fox %20 \\u0041. ") * 999
    body = ENCODERS[coding](text) if coding else text
    headers = {"content-encoding": coding} if coding else {}
    response = await send(rig, "ok.test", "/x", headers=headers, content=pieces(body, 1000)())

    assert response.status_code == 200
    assert body == rig.upstream.body


async def test_a_host_that_the_value_is_meant_for_gets_it(rig: Rig):
    """`secrets:` opens paths.test, for its own paths and methods only."""
    await give_keys(rig)
    assert (await send(rig, "paths.test", f"/v1/x?p={DB}")).status_code == 200
    assert DB in rig.upstream.heads[0]


@pytest.mark.parametrize("is_ended", [True, False])
async def test_an_empty_data_frame_does_not_let_a_beginning_out(rig: Rig, *, is_ended: bool):
    """HTTP/2 can send nothing in the middle of a body; that is not the body's end."""
    await give_keys(rig)
    body = DB.encode()[:20] if is_ended else DB.encode()
    [answer] = await converse(rig, "ok.test", (head(rig, "ok.test", "/x", "POST"), body, []), split=20)

    assert answer.status == (200 if is_ended else 403)
    assert rig.upstream.body == (body if is_ended else b"")


async def test_a_body_that_is_cut_ends_its_upstream_connection_at_once(rig: Rig):
    """The upstream never takes what came for a whole request, while the client's connection lives on."""
    await give_keys(rig)
    ended = asyncio.Event()

    async def respond(text: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if text.startswith("POST"):
            try:
                await reader.read()
            finally:
                ended.set()
            return
        async with asyncio.timeout(30):
            await ended.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()

    rig.upstream.respond = respond
    answers = await converse(
        rig,
        "ok.test",
        (head(rig, "ok.test", "/x", "POST"), b"x" * 99 + DB.encode(), []),
        (head(rig, "ok.test", "/y"), b"", []),
    )
    assert [answer.status for answer in answers] == [403, 200]


@pytest.mark.parametrize(
    "host", [f"{DB}.wild.test", f"{DB.encode().hex()}.wild.test", f"{DB[:12]}.{DB[12:]}.wild.test"]
)
@pytest.mark.parametrize("user", ["plain", "explain"])
async def test_a_value_in_a_name_is_refused_before_it_is_looked_up(rig: Rig, host: str, user: str):
    """An allowed wildcard is no way out by DNS."""
    await give_keys(rig)
    answer = await rig.connect(f"{host}:443", user)
    assert answer.startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 200 "))  # 200: answered inside
    assert rig.lookups == []
    assert rig.lines[-1]["reason_code"] == "secret_leak"
    assert DB not in json.dumps(rig.lines)


async def test_what_nobody_chose_to_pass_through_is_inspected(rig: Rig):
    """A default passthrough gives way, so that the tripwire sees the request; a chosen one does not."""
    await give_keys(rig, DB_SECRET)
    response = await send(rig, "a.wild.test", "/x", content=b"a" + DB.encode())
    assert (response.status_code, reason(response)) == (403, "secret_leak")
    async with client(rig) as http:
        with pytest.raises(httpx.ConnectError):  # the upstream's own certificate, which this client lacks
            await http.get(f"https://pass.test:{rig.upstream.tls_port}/")


async def test_memory_is_constant(rig: Rig):
    """16 MiB go by; the proxy holds a window of them."""
    import tracemalloc

    await give_keys(rig)
    chunk = b"The quick brown fox jumps over the lazy dog. " * 1456

    async def body() -> AsyncIterator[bytes]:
        for _ in range(256):
            yield chunk

    rig.upstream._read_body = _discard  # type: ignore[method-assign]
    tracemalloc.start()
    response = await send(rig, "ok.test", "/x", content=body())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert response.status_code == 200
    assert peak < 8 << 20


async def _discard(reader: asyncio.StreamReader, size: int) -> int:
    await reader.readexactly(size)
    return size


@pytest.mark.parametrize(
    ("name", "coding"),
    [
        ("x-content-encoding", "gzip"),
        ("Content_Encoding", "gzip"),
        ("content-transfer-encoding", "gzip"),
        ("content-encoding", "identity, GZIP"),
    ],
)
async def test_a_coded_body_is_looked_into_under_any_name(rig: Rig, name: str, coding: str):
    """A server may read `_` as `-`, or honour the `x-` of old."""
    await give_keys(rig)
    body = gzip.compress(b"The quick brown fox. " * 99 + DB.encode() + b" jumps")
    response = await send(rig, "ok.test", "/x", headers={name: coding}, content=body)
    assert (response.status_code, reason(response)) == (403, "secret_leak")
    assert rig.upstream.body_bytes == 0
