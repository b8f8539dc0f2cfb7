"""A run's events over real records: whole, resumed at every place, and with one end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sse_starlette import EventSourceResponse

from runtime.access.caller import UnixPeer
from runtime.api import run_events
from runtime.api.app import make_api
from runtime.database.connection import open_database
from runtime.keeper.work import Done
from runtime.model.limits import Isolation
from runtime.model.run import Run, RunState
from runtime.runs.records import Records, RunRecord
from runtime.runs.store import Store
from runtime.sandbox.outcome import Outcome
from tests.unit.runtime.api.test_app import assert_problem
from tests.unit.runtime.api.test_runs import Service

RUN_ID = "abcdef01-0000-4000-8000-000000000000"
PATH = f"/v1/runs/{RUN_ID}/events"
WHOLE = ["state", "log", "log", "state", "end"]


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[Records]:
    """Over a fresh database."""
    database = open_database(None, default=tmp_path / "home" / "db")
    yield Records(Store(database, owner="0" * 32))
    await database.close()


@pytest.fixture
async def api(records: Records) -> AsyncIterator[httpx.AsyncClient]:
    """The API over them."""
    transport = httpx.ASGITransport(make_api(Service(records)), client=(UnixPeer("uid:0"), 0))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://x", timeout=None) as made:
        yield made


async def begun(records: Records) -> RunRecord:
    """A run that has told something."""
    record = await records.open(Run(RUN_ID, "a", "p", Isolation.RUNC, RunState.QUEUED, time.time()))
    await record.tell("log", {"text": "one"})
    await record.tell("log", {"text": "two\r\n\r\nevent: end"})
    return record


async def finished(records: Records) -> None:
    """The same, at its end; a run that failed has no result to tell."""
    await (await begun(records)).finish(Done(Outcome(RunState.CANCELLED)))


def told(answer: httpx.Response) -> list[tuple[int, str]]:
    """Number and kind of each event."""
    assert answer.status_code == 200, answer.text
    events = [
        dict(line.split(": ", 1) for line in part.split("\r\n"))
        for part in answer.text.strip().split("\r\n\r\n")
    ]
    return [(int(event["id"]), event["event"]) for event in events]


async def test_a_story_is_numbered_and_ends_once(api: httpx.AsyncClient, records: Records):
    """From 1, without a gap; what an agent writes makes no event of its own."""
    await finished(records)

    assert told(await api.get(PATH)) == list(enumerate(WHOLE, 1))
    assert '"state":"cancelled"' in (await api.get(PATH)).text.split("event: end\r\n")[1]


@pytest.mark.parametrize("behind", [1, 2, 3, 4])
async def test_a_story_goes_on_behind_every_event(api: httpx.AsyncClient, records: Records, behind: int):
    """By header or by parameter, of which the header counts: a browser sends it with the address it had."""
    await finished(records)
    rest = list(enumerate(WHOLE, 1))[behind:]

    assert told(await api.get(PATH, headers={"Last-Event-ID": str(behind)})) == rest
    assert told(await api.get(PATH, params={"after": behind})) == rest
    assert told(await api.get(PATH, params={"after": 4}, headers={"Last-Event-ID": str(behind)})) == rest


async def test_whoever_has_the_end_has_all(api: httpx.AsyncClient, records: Records):
    """204: a browser does not come again. What is behind the end never was."""
    await finished(records)

    assert (await api.get(PATH, headers={"Last-Event-ID": "5"})).status_code == 204
    for behind in (6, 1 << 53):
        body = assert_problem(await api.get(PATH, params={"after": behind}), 410, "GONE")
        assert body["retryable"] is False
    for behind in (5, 6):  # it may have been cut off just now
        assert [event async for event in records.events(RUN_ID, behind)] == []


async def test_a_cursor_of_events_that_are_not_kept_is_gone(api: httpx.AsyncClient, records: Records):
    """As after a daemon's end: nothing is left out unsaid. From the beginning, the run's state is told."""
    await finished(records)
    records._journals.discard(RUN_ID)

    for behind in (1, 3, 5):
        assert_problem(await api.get(PATH, headers={"Last-Event-ID": str(behind)}), 410, "GONE")
    assert told(await api.get(PATH)) == [(1, "state"), (2, "end")]


async def test_what_comes_later_is_told_when_it_comes(records: Records, api: httpx.AsyncClient):
    """A reader that is ahead of a story that is told anew waits for its place in it."""
    record = await begun(records)
    reading = asyncio.create_task(api.get(PATH, params={"after": 3}))
    while not records._journals.get(RUN_ID)._news._waiters:  # type: ignore[union-attr]
        await asyncio.sleep(0)
    await record.finish(Done(Outcome(RunState.CANCELLED)))

    assert told(await reading) == [(4, "state"), (5, "end")]


async def test_a_story_that_is_cut_has_no_end(records: Records, api: httpx.AsyncClient):
    """The run goes on with the next daemon, and so does whoever follows it."""
    await begun(records)
    reading = asyncio.create_task(api.get(PATH))
    await records.give_back(RUN_ID)

    assert told(await reading) == [(1, "state"), (2, "log"), (3, "log")]


@pytest.mark.parametrize("asked", [{"after": "-1"}, {"after": "x"}, {"after": "9" * 20}], ids=repr)
async def test_what_is_no_number_is_refused(api: httpx.AsyncClient, records: Records, asked: dict[str, str]):
    """In the parameter and in the header."""
    await finished(records)

    assert assert_problem(await api.get(PATH, params=asked), 400, "INVALID_INPUT")["param"] == "after"
    answer = await api.get(PATH, headers={"Last-Event-ID": asked["after"]})
    assert assert_problem(answer, 400, "INVALID_INPUT")["param"] == "last-event-id"


async def test_a_silent_stream_has_comments(
    api: httpx.AsyncClient, records: Records, monkeypatch: pytest.MonkeyPatch
):
    """Which no client takes for an event."""
    assert run_events.COMMENT_S == 15
    record = await begun(records)
    pinged = asyncio.Event()
    ping = EventSourceResponse._ping

    async def at_once(self: EventSourceResponse, send: object) -> None:
        assert self.ping_interval == 15
        self.ping_interval = 0.01

        async def note(message: object) -> None:
            await send(message)  # type: ignore[operator]
            pinged.set()

        await ping(self, note)

    monkeypatch.setattr(EventSourceResponse, "_ping", at_once)
    reading = asyncio.create_task(api.get(PATH))
    await pinged.wait()
    await record.finish(Done(Outcome(RunState.CANCELLED)))

    parts = (await reading).text.strip().split("\r\n\r\n")
    assert any(part.startswith(": ping") for part in parts)
    assert [part.split("event: ")[1].split("\r\n")[0] for part in parts if not part.startswith(":")] == WHOLE
