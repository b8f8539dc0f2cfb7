"""A server that sleeps until it is called or to end, and ends in every way that uvicorn's own does."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sse_starlette.sse import AppStatus

from runtime.access.sleeping_server import SignallessServer, SleepingServer

LIMIT_S = 20.0


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers every request with nothing."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket to serve on."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "api.sock"))
        yield sock


@pytest.fixture
def config() -> uvicorn.Config:
    """Of a server of that app."""
    return uvicorn.Config(app, http="h11", lifespan="off", log_config=None)


async def ask(listener: socket.socket) -> httpx.Response:
    """One request, on a connection of its own."""
    transport = httpx.AsyncHTTPTransport(uds=listener.getsockname(), retries=3)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        return await client.get("/")


async def test_it_serves_and_ends_when_told(listener: socket.socket, config: uvicorn.Config):
    """As uvicorn's own, but for the header that is written by the clock."""
    server = SignallessServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))

    answer = await ask(listener)
    server.should_exit = True
    await asyncio.wait_for(serving, LIMIT_S)

    assert answer.status_code == 200
    assert "date" not in answer.headers
    assert answer.headers["server"] == "uvicorn"


async def test_whoever_waits_is_answered_at_the_end(listener: socket.socket):
    """Told before the server waits for its answers: none of them is cut off."""
    asked, ending = asyncio.Event(), asyncio.Event()

    async def patient(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await ending.wait()
        await app(scope, receive, send)

    server = SignallessServer(uvicorn.Config(patient, http="h11", lifespan="off", log_config=None))
    server.on_end = ending.set
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    asking = asyncio.create_task(ask(listener))
    await asked.wait()
    server.should_exit = True
    await asyncio.wait_for(serving, LIMIT_S)

    assert (await asking).status_code == 200


async def test_a_signal_ends_it(
    listener: socket.socket, config: uvicorn.Config, monkeypatch: pytest.MonkeyPatch
):
    """Its handler runs while the loop sleeps; uvicorn raises the signal again when it is done."""
    # sse-starlette 3 hears of the signal, too, and would end every stream of this process from then on.
    monkeypatch.setattr("sse_starlette.sse.AppStatus.should_exit", False)
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: seen.append(number))
    try:
        serving = asyncio.create_task(SleepingServer(config).serve(sockets=[listener]))
        await ask(listener)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, LIMIT_S)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


async def test_one_that_was_told_before_it_began_does_not_wait(
    listener: socket.socket, config: uvicorn.Config
):
    """A start that failed says so before there is anything to wait in."""
    server = SignallessServer(config)
    server.should_exit = True
    await asyncio.wait_for(server.main_loop(), LIMIT_S)


async def test_it_does_not_wake_while_nobody_calls(
    listener: socket.socket, config: uvicorn.Config, monkeypatch: pytest.MonkeyPatch
):
    """uvicorn's own loop would have slept and looked."""
    server = SignallessServer(config)
    looks: list[int] = []

    async def on_tick(counter: int) -> bool:
        looks.append(counter)
        return False

    monkeypatch.setattr(server, "on_tick", on_tick)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await ask(listener)
    server.should_exit = True
    await asyncio.wait_for(serving, LIMIT_S)

    assert looks == []


async def test_whoever_is_asked_ends_it(
    listener: socket.socket, config: uvicorn.Config, monkeypatch: pytest.MonkeyPatch
):
    """At the first two signals; the server goes on meanwhile, and no stream hears of the signals."""
    asked: list[int] = []
    monkeypatch.setattr("sse_starlette.sse.AppStatus.should_exit", False)
    before = signal.signal(signal.SIGTERM, lambda *_args: None)
    try:
        server, listens = SleepingServer(config), asyncio.Event()
        server.on_serving = listens.set
        server.on_signal = lambda: asked.append(1)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await asyncio.wait_for(listens.wait(), LIMIT_S)
        for number in (1, 2):
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(LIMIT_S):
                while len(asked) < number:
                    await asyncio.sleep(0)
            assert (await ask(listener)).status_code == 200
        assert not AppStatus.should_exit
        server.should_exit = True
        await asyncio.wait_for(serving, LIMIT_S)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert asked == [1, 1]


async def test_the_third_signal_ends_it(listener: socket.socket, config: uvicorn.Config):
    """Where whoever was asked does not."""
    before = signal.signal(signal.SIGTERM, lambda *_args: None)
    try:
        server, listens = SleepingServer(config), asyncio.Event()
        server.on_serving = listens.set
        server.on_signal = lambda: None
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await asyncio.wait_for(listens.wait(), LIMIT_S)
        for number in (1, 2, 3):
            assert not server.should_exit
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(LIMIT_S):
                while server._asked < number:
                    await asyncio.sleep(0)
        await asyncio.wait_for(serving, LIMIT_S)
    finally:
        signal.signal(signal.SIGTERM, before)
