"""A result from the keeper's file to the API's answers: the same bytes, and nobody reads them on the way."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.contract.decision_line import DecisionLine
from runtime.access.caller import UnixPeer
from runtime.api.app import make_api
from runtime.database.connection import open_database
from runtime.errors import ConflictError
from runtime.keeper.folder import KeeperFolder
from runtime.keeper.link import done_of
from runtime.keeper.messages import Ended
from runtime.keeper.work import Done
from runtime.model.limits import Isolation
from runtime.model.run import Event, Run, RunState, RunSummary
from runtime.runs.records import Records
from runtime.runs.store import Store
from runtime.sandbox.outcome import Outcome

TEXT = b'{"n":1.0,"text":"\\u00fc\\ud83d\\u0000","many":[' + b"[]," * 50_000 + b"12345678901234567890]}"


class Service:
    """What the routes of a run ask for, over real records."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def find(self, ref: str, workspace: str | None = None) -> RunSummary:
        return await self._records.find(ref, workspace)

    async def get(self, run_id: str) -> Run:
        return await self._records.get(run_id)

    async def decisions(self, run_id: str) -> list[DecisionLine]:
        return await self._records.decisions(run_id)

    async def cancel(self, run_id: str) -> Run:
        raise ConflictError("it has ended")

    async def goes_on(self, run_id: str, after: int) -> bool:
        return self._records.goes_on(run_id, after)

    def events(self, run_id: str, after: int = 0) -> AsyncIterator[Event]:
        return self._records.events(run_id, after)


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[Records]:
    """Over a fresh database."""
    database = open_database(None, default=tmp_path / "home" / "db")
    yield Records(Store(database, owner="0" * 32))
    await database.close()


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How large what was read or written as JSON was."""
    seen: list[int] = []
    loads, dumps = json.loads, json.dumps

    def read(text: Any, **more: Any) -> Any:
        seen.append(len(text))
        return loads(text, **more)

    def write(value: Any, **more: Any) -> str:
        text = dumps(value, **more)
        seen.append(len(text))
        return text

    with monkeypatch.context() as patched:
        patched.setattr(json, "loads", read)
        patched.setattr(json, "dumps", write)
        yield seen


async def test_seven_digits_name_a_run_in_every_route(records: Records):
    """Within what the caller sees; the answer has the whole id."""
    run_id = "abcdef01-0000-4000-8000-000000000000"
    record = await records.open(Run(run_id, "a", "p", Isolation.RUNC, RunState.QUEUED, time.time()))
    await record.finish(Done(Outcome(RunState.COMPLETED), stderr="log"))
    transport = httpx.ASGITransport(make_api(Service(records)), client=(UnixPeer("uid:0"), 0))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://orchbox") as api:
        for path in ("", "/events", "/decisions"):
            assert (await api.get(f"/v1/runs/abcdef0{path}")).status_code == 200
            assert (await api.get(f"/v1/runs/abcdef{path}")).status_code == 404
        assert (await api.get("/v1/runs/abcdef01")).json()["id"] == run_id
        assert (await api.post("/v1/runs/abcdef01/cancel")).status_code == 409
        await records.open(Run(f"{run_id[:-1]}1", "a", "p", Isolation.RUNC, RunState.QUEUED, time.time()))
        ambiguous = await api.get("/v1/runs/abcdef01")
    assert (ambiguous.status_code, ambiguous.json()["param"]) == (400, "run_id")


async def test_a_result_goes_out_as_its_keeper_wrote_it(tmp_path: Path, records: Records, sizes: list[int]):
    """In the run's record and in its event; nothing of its size is parsed or serialised by the daemon."""
    record = await records.open(Run("run-1", "a", "p", Isolation.RUNC, RunState.QUEUED, time.time()))
    folder = KeeperFolder(tmp_path)
    folder.result.write_bytes(TEXT)
    values = {"state": "completed", "error": None, "stdout": "o", "stderr": "e", "omitted": {}, "at": 2.0}
    done = await done_of(folder, Ended(**values, has_result=True, result_bytes=len(TEXT)))
    assert await record.finish(done)
    transport = httpx.ASGITransport(make_api(Service(records)), client=(UnixPeer("uid:0"), 0))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://orchbox") as api:
        answer = await api.get("/v1/runs/run-1")
        events = (await api.get("/v1/runs/run-1/events")).content

    assert max(sizes) < 2000
    assert answer.headers["content-type"] == "application/json"
    assert b'"result":' + TEXT + b',"error":null' in answer.content
    told = [part.split(b"\r\n") for part in events.strip().split(b"\r\n\r\n")]
    [(number, _, data)] = [lines for lines in told if lines[1] == b"event: result"]
    assert number == b"id: 2"
    assert data.startswith(b'data: {"result":' + TEXT + b',"at":')
    assert json.loads(data.removeprefix(b"data: "))["result"] == json.loads(answer.content)["result"]
    assert [lines[1] for lines in told[-2:]] == [b"event: state", b"event: end"]
