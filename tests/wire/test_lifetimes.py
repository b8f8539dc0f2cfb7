"""What the proxy keeps of an exchange goes with it, whatever ended it: hundreds leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib

import httpx
import pytest

from proxy.hooks import requests
from tests.wire.conftest import Rig
from tests.wire.secrets import DB, OWN, give_keys, send
from tests.wire.test_broker import frame, websocket
from tests.wire.test_fail_closed import boom
from tests.wire.test_http2 import converse, head
from tests.wire.test_refusals import client

ROUNDS = 100


async def none_left(rig: Rig) -> None:
    """Until nothing of any exchange is kept; fails after five seconds."""
    hooks = rig.server.hooks
    async with asyncio.timeout(30):
        while len(hooks.exchanges) or any(s.dials for s in hooks.clients.sessions.values()):
            await asyncio.sleep(0.01)


@pytest.fixture
def only_ends_count(rig: Rig, monkeypatch) -> None:
    """A client that goes takes nothing with it, so that what is left is a flow whose end was not told."""
    monkeypatch.setattr(rig.server.hooks.exchanges, "close_client", lambda _client_id: None)


async def test_hundreds_of_requests_on_one_connection_leave_nothing(rig: Rig):
    """Allowed, refused and cut ones, while the client's connection lives on."""
    await give_keys(rig)
    url = f"https://ok.test:{rig.upstream.tls_port}/x"
    async with client(rig) as http:
        for _ in range(ROUNDS):
            assert (await http.get(url)).status_code == 200
            assert (await http.post(url, content=b"x" * 100)).status_code == 200
        assert rig.server.hooks.clients.sessions
        await none_left(rig)
        assert len(rig.upstream.heads) == 2 * ROUNDS
        assert rig.upstream.accepts == 1


@pytest.mark.usefixtures("only_ends_count")
async def test_every_end_of_a_stream_is_told(rig: Rig):
    """HTTP/2: answered, refused by path, refused for a secret in the head, cut in the body."""
    await give_keys(rig)
    kinds = [
        (head(rig, "ok.test", "/x"), b"", []),
        (head(rig, "ok.test", "/x", "POST"), b"y" * 99, []),
        (head(rig, "ok.test", f"/{DB}"), b"", []),
        (head(rig, "ok.test", "/x", "POST"), b"x" * 99 + DB.encode(), []),
    ]
    for _ in range(10):
        answers = await converse(rig, "ok.test", *kinds)
        assert [answer.status for answer in answers] == [200, 200, 403, 403]
    await none_left(rig)


UPSTREAMS = {
    "malformed": b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
    "invalid framing": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
    "compressed": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok",
}


@pytest.mark.usefixtures("only_ends_count")
@pytest.mark.parametrize("answer", UPSTREAMS)
async def test_a_failing_upstream_ends_its_exchange(rig: Rig, answer: str):
    """An answer that cannot be read, or may not be passed on."""
    await give_keys(rig)
    rig.upstream.response = UPSTREAMS[answer]
    for _ in range(5):
        with contextlib.suppress(httpx.TransportError):
            assert (await send(rig, "llm.test", headers=OWN)).status_code != 200
    assert rig.upstream.heads
    await none_left(rig)


@pytest.mark.usefixtures("only_ends_count")
async def test_an_upstream_that_cannot_be_had_ends_its_exchange(rig: Rig):
    """A dial that fails leaves neither an exchange nor a dial, while the client's connection lives on."""
    await give_keys(rig)
    async with client(rig) as http:
        for _ in range(5):
            assert (await http.get("https://x.wild.test/")).status_code == 502
        assert [line["verdict"] for line in rig.lines] == ["allow"] * 5
        await none_left(rig)


@pytest.mark.usefixtures("only_ends_count")
async def test_a_killed_flow_ends_its_exchange(rig: Rig, monkeypatch):
    """An answer whose hook failed is cut off."""
    monkeypatch.setattr(requests, "clean_response_headers", boom)
    await give_keys(rig)
    for _ in range(5):
        with pytest.raises(httpx.TransportError):
            await send(rig, "ok.test")
    assert rig.upstream.heads
    await none_left(rig)


@pytest.mark.usefixtures("only_ends_count")
@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "cut off"])
async def test_a_websocket_ends_its_exchange(rig: Rig, is_closed: bool):
    """Its exchange lives as long as the WebSocket does, however that ends."""
    await give_keys(rig)
    _, reader, writer = await websocket(rig, "ok.test", "")
    writer.write(frame(b"hello"))
    await asyncio.wait_for(reader.readexactly(7), 30)
    assert len(rig.server.hooks.exchanges) == 1
    if is_closed:
        writer.write(frame(b"\x03\xe8", opcode=8))
        await asyncio.wait_for(reader.read(100), 30)
    else:
        writer.transport.abort()
    await none_left(rig)


async def test_a_client_that_goes_takes_all_with_it(rig: Rig, monkeypatch):
    """Even where no end of a flow is told at all."""
    monkeypatch.setattr(rig.server.hooks.exchanges, "close", lambda *_: None)
    await give_keys(rig)
    async with client(rig) as http:
        assert (await http.get(f"https://ok.test:{rig.upstream.tls_port}/x")).status_code == 200
        assert len(rig.server.hooks.exchanges) == 1
    await none_left(rig)
    assert not rig.server.hooks.clients.sessions


async def test_a_revoked_sandbox_leaves_nothing_known(rig: Rig):
    """Its secrets' forms and its uploads go with its grant."""
    await give_keys(rig)
    assert (await send(rig, "llm.test", headers=OWN)).status_code == 200
    assert rig.server.hooks.known._by_sandbox
    await rig.link.revoke("run-1")
    await none_left(rig)
    assert not rig.server.hooks.known._by_sandbox
    assert not rig.server.hooks.uploads._by_sandbox
