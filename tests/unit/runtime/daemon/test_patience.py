"""runtime.daemon.patience: nobody's place at the port is taken for ever."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from runtime.daemon import patience as module
from runtime.daemon.patience import PatientProtocol
from tests.unit.runtime.daemon.test_tcp import Served, serving
from tests.unit.runtime.fake_service import FakeService

HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENCE_S = 60.0
"""The test's own, for what takes no time on a quiet machine."""


async def emptied(served: Served) -> None:
    """Until nobody is connected."""
    async with asyncio.timeout(PATIENCE_S):
        while served.doorkeeper._peers:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("is_tls", [True, False], ids=["with TLS", "without"])
@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01", b"GET /healthz HT", HEALTHZ])
async def test_who_says_nothing_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_tls: bool, said: bytes
):
    """A connection without a handshake or a head, and one whose next head does not come."""
    monkeypatch.setattr(module, "HEAD_S", 0.05)
    async with serving(tmp_path, is_tls=is_tls) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.listen.port)
        writer.write(said)
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                await reader.read()
        writer.close()
        await emptied(served)


async def test_an_answer_that_takes_long_is_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The limit is for heads."""
    monkeypatch.setattr(module, "HEAD_S", 0.05)
    checks = FakeService.checks

    async def slow(self: FakeService) -> object:
        await asyncio.sleep(0.3)
        return await checks(self)

    monkeypatch.setattr(FakeService, "checks", slow)
    async with serving(tmp_path, is_tls=False) as served, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(
            f"{served.listen.url}/readyz", headers={"Authorization": f"Bearer {served.token}"}
        )
        assert answer.json()["ready"]


async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
    """An application whose answer fits no buffer."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(1024):
        await send({"type": "http.response.body", "body": bytes(1 << 16), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def test_who_reads_no_answer_is_closed(monkeypatch: pytest.MonkeyPatch):
    """Its head was there, so that the limit on heads says nothing of it."""
    monkeypatch.setattr(module, "HEAD_S", 0.05)
    monkeypatch.setattr(module, "UNREAD_S", 0.05)
    config = uvicorn.Config(large, http=PatientProtocol, lifespan="off", log_config=None)
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: PatientProtocol(config, state, {}), "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()) as peer:
        peer.sendall(HEALTHZ)
        async with asyncio.timeout(PATIENCE_S):
            while not state.connections:
                await asyncio.sleep(0.01)
            while state.connections:
                await asyncio.sleep(0.01)
    server.close()


@pytest.mark.parametrize(("now", "is_closed"), [(99, False), (100, True)], ids=["slowly", "not"])
async def test_who_reads_slowly_goes_on(now: int, is_closed: bool):
    """Whatever was read meanwhile will do."""
    config = uvicorn.Config(large, http=PatientProtocol, lifespan="off", log_config=None)
    served = PatientProtocol(config, ServerState(), {})
    served.transport = Mock()
    served.transport.get_write_buffer_size.return_value = now
    served._close_when_unread(100)
    assert served.transport.abort.called == is_closed
    assert (served._unread is not None) != is_closed
    if served._unread is not None:
        served._unread.cancel()
