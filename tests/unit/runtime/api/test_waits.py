"""A request that waits for a run's end: answered by the event, by time, or by the daemon's own end."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from runtime.access.caller import UnixPeer
from runtime.api.app import make_api
from runtime.api.waits import Waits
from runtime.model.limits import Isolation
from runtime.model.run import Run, RunState
from tests.unit.runtime.api.test_app import assert_problem
from tests.unit.runtime.fake_service import RUN_ID, FakeService

PATH = f"/v1/runs/{RUN_ID}"


class Ending(FakeService):
    """A run that ends when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.put(Run(RUN_ID, "a", "p", Isolation.RUNC, RunState.RUNNING, 1.0))
        self.is_waited_for = asyncio.Event()
        self.was_left = asyncio.Event()
        self.end = asyncio.Event()

    async def ended(self, run_id: str) -> None:
        assert run_id == RUN_ID
        self.is_waited_for.set()
        try:
            await self.end.wait()
        finally:
            self.was_left.set()

    def finish(self) -> None:
        """Record the end, then tell it."""
        self.put(dataclasses.replace(self.runs[RUN_ID], state=RunState.COMPLETED))
        self.end.set()


@pytest.fixture
async def service() -> Ending:
    """With one run."""
    return Ending()


@pytest.fixture
async def app(service: Ending) -> FastAPI:
    """Its API."""
    return make_api(service)


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it, with patience."""
    transport = httpx.ASGITransport(app, client=(UnixPeer("uid:0"), 0))
    async with httpx.AsyncClient(transport=transport, base_url="http://x", timeout=None) as made:
        yield made


async def state_of(answer: Any) -> str:
    """Of an answer that is to be the run."""
    got = await answer
    assert got.status_code == 200
    return got.json()["state"]


async def test_the_end_is_answered_when_it_comes(api: httpx.AsyncClient, service: Ending):
    """Woken by it: nobody asks the database meanwhile."""
    asking = asyncio.create_task(api.get(PATH, params={"wait": 60, "until": "final"}))
    await service.is_waited_for.wait()
    assert not asking.done()
    service.finish()

    assert await state_of(asking) == "completed"


async def test_a_run_that_has_ended_is_answered_at_once(api: httpx.AsyncClient, service: Ending):
    """Without waiting for anything."""
    service.finish()

    assert await state_of(api.get(PATH, params={"wait": 300})) == "completed"
    assert not service.is_waited_for.is_set()


async def test_time_is_up(api: httpx.AsyncClient, service: Ending):
    """200 with the state that the run is in; nothing is left waiting."""
    assert await state_of(api.get(PATH, params={"wait": 0.01})) == "running"
    assert service.was_left.is_set()
    assert await state_of(api.get(PATH, params={"wait": 0})) == "running"


async def test_the_daemon_stops(api: httpx.AsyncClient, service: Ending, app: FastAPI):
    """Whoever waits is answered, and nobody waits any more."""
    asking = asyncio.create_task(api.get(PATH, params={"wait": 300}))
    await service.is_waited_for.wait()
    app.state.waits.end()

    assert await state_of(asking) == "running"
    assert await state_of(api.get(PATH, params={"wait": 300})) == "running"


async def test_a_client_that_goes_away_costs_nothing(service: Ending, app: FastAPI):
    """What waited for it is gone, and no record is read for nobody."""
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": PATH, "raw_path": PATH.encode(), "headers": [],
        "query_string": b"wait=300", "client": (UnixPeer("uid:0"), 0), "http_version": "1.1", "scheme": "http",
        "root_path": "", "server": None,
    }  # fmt: skip
    answering = asyncio.create_task(app(scope, messages.get, send))
    await service.is_waited_for.wait()
    messages.put_nowait({"type": "http.disconnect"})
    await answering

    assert service.was_left.is_set()
    assert b"".join(each.get("body", b"") for each in sent) == b""


@pytest.mark.parametrize(
    "asked", [{"wait": "301"}, {"wait": "-1"}, {"wait": "nan"}, {"wait": "x"}, {"until": "running"}], ids=repr
)
async def test_a_wait_is_bounded(api: httpx.AsyncClient, asked: dict[str, str]):
    """And only for what there is to wait for."""
    body = assert_problem(await api.get(PATH, params=asked), 400, "INVALID_INPUT")

    assert body["param"] == next(iter(asked))


async def test_nothing_is_left_of_a_wait():
    """Whichever of the three came first."""
    waits = Waits()
    before = asyncio.all_tasks()
    never = asyncio.Event()
    began = time.monotonic()

    assert await waits.wait(never.wait(), asyncio.Queue().get, limit_s=0.01)
    waits.end()
    assert await waits.wait(never.wait(), asyncio.Queue().get, limit_s=1000)
    assert asyncio.all_tasks() == before
    assert time.monotonic() - began < 900
