"""Keys of requests on both databases: whatever is sent however often, one run is made."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from runtime.access.caller import UnixPeer
from runtime.access.scopes import Role
from runtime.access.service import Tokens
from runtime.api.app import make_api
from runtime.errors import ConflictError, InFlightError, KeyReusedError
from runtime.idempotency.hash_key import HashKey
from runtime.idempotency.service import KEPT_S, Answer, Attempt, Place, Retries, TakenError
from runtime.idempotency.tables import keys
from runtime.model.limits import Isolation
from runtime.model.run import Run, RunRequest, RunState
from runtime.model.run_query import RunQuery
from runtime.runs.ports import Also
from runtime.runs.records import Records
from runtime.runs.store import Store
from tests.vault.places import VALUE
from tests.vault.places import Place as DatabasePlace

HASH_KEY = HashKey(b"k" * 32)
PLACE = Place("w", "uid:0", "POST /v1/runs", "key-1")
ANSWER = Answer(201, '{"id":"r"}', "/v1/runs/r")


class Service:
    """Makes runs in a database, and nothing else of them."""

    def __init__(self, place: DatabasePlace) -> None:
        self.database = place.open()
        self.records = Records(Store(self.database, owner="0" * 32))
        self.requests: list[RunRequest] = []
        self.error: Exception | None = None

    async def create(self, request: RunRequest, also: Also | None = None) -> Run:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        run = Run(
            id=str(uuid.uuid4()),
            agent_ref=request.agent_ref,
            policy_name="p",
            isolation=Isolation.RUNC,
            state=RunState.QUEUED,
            created_at=1.0,
            workspace=request.workspace,
        )
        await self.records.open(run, also)
        return run


class Daemon:
    """One of those on a database, with an API."""

    def __init__(self, place: DatabasePlace, clock: Callable[[], float] = lambda: 1000.0) -> None:
        self.service = Service(place)
        self.retries = Retries(self.service.database, HASH_KEY, clock=clock)
        self.tokens = Tokens(self.service.database)
        self.app = make_api(self.service, retries=self.retries, tokens=self.tokens)  # type: ignore[arg-type]

    def client(self, caller: str = "uid:0", **headers: str) -> httpx.AsyncClient:
        """Somebody who calls."""
        transport = httpx.ASGITransport(
            self.app,
            raise_app_exceptions=False,
            client=(UnixPeer(caller) if caller.startswith("uid:") else caller, 0),
        )
        return httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers, timeout=None)

    async def post(self, key: str | None, caller: str = "uid:0", **changes: Any) -> httpx.Response:
        """Ask for a run, in a form of its own: its boundary is another each time."""
        headers = {} if key is None else {"Idempotency-Key": key}
        asked = {"agent_ref": "a", "image": "i", "argv": ["x"], "input": "{}", "secrets": {"A_KEY": VALUE}}
        files = [("bundle", ("b", b"tar")), ("upload", ("one", b"1")), ("upload", ("two", b"2"))]
        async with self.client(caller) as client:
            data = {"request": json.dumps({**asked, **changes})}
            return await client.post("/v1/runs", data=data, files=files, headers=headers)

    async def runs(self) -> list[str]:
        """Those that were made."""
        page = await self.service.records.page(RunQuery(100))
        return [run.id for run in page.items]


@pytest.fixture
async def daemon(place: DatabasePlace) -> Daemon:
    """A daemon on a fresh database."""
    return Daemon(place)


async def test_a_request_that_is_sent_again_has_the_same_answer(daemon: Daemon, place: DatabasePlace):
    """From the next daemon, too; without a key each is a run of its own."""
    first = await daemon.post("key-1")
    again = await daemon.post("key-1")
    later = await Daemon(place).post("key-1")

    assert first.status_code == again.status_code == later.status_code == 201
    assert first.content == again.content == later.content
    assert again.headers["location"] == first.headers["location"] == f"/v1/runs/{first.json()['id']}"
    replayed = [answer.headers.get("idempotency-replayed") for answer in (first, again, later)]
    assert replayed == [None, "true", "true"]
    assert await daemon.runs() == [first.json()["id"]]
    await daemon.post(None)
    await daemon.post(None)
    assert len(await daemon.runs()) == 3


async def test_many_at_once_make_one_run(place: DatabasePlace):
    """Of two daemons with a database each, and a thread and a loop for each: whoever is second is told so."""
    daemons = [Daemon(place), Daemon(place)]
    start = threading.Barrier(2)

    async def ask(each: Daemon) -> list[httpx.Response]:
        start.wait(60)
        return list(await asyncio.gather(*(each.post("key-1") for _ in range(8))))

    answers = [
        answer
        for some in await asyncio.gather(*(asyncio.to_thread(asyncio.run, ask(each)) for each in daemons))
        for answer in some
    ]

    made = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in made}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in made) == 1
    assert await daemons[0].runs() == [made[0].json()["id"]]
    for answer in answers:
        if answer.status_code == 409:
            assert answer.headers["retry-after"] == "1"
            assert (answer.json()["retryable"], answer.json()["retry_after_ms"]) == (True, 1000)
    final = await daemons[1].post("key-1")
    assert (final.content, final.headers["idempotency-replayed"]) == (made[0].content, "true")


async def test_another_body_is_refused(daemon: Daemon):
    """422, whatever of it differs, a secret's value too; nothing of it is repeated."""
    first = await daemon.post("key-1")
    for changes in ({"agent_ref": "b"}, {"secrets": {"A_KEY": VALUE + "x"}}, {"labels": {"a": "b"}}):
        answer = await daemon.post("key-1", **changes)
        assert (answer.status_code, answer.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
        assert VALUE not in answer.text
    assert await daemon.runs() == [first.json()["id"]]


async def test_the_same_key_is_another_one_elsewhere(daemon: Daemon):
    """Of another caller, or in another workspace."""
    await daemon.post("key-1")
    await daemon.post("key-1", caller="uid:7")
    await daemon.post("key-1", workspace="other")

    assert len(await daemon.runs()) == 3


async def test_a_token_cannot_ask_for_anothers_answer(daemon: Daemon):
    """Its caller is a part of the key."""
    first = await daemon.post("key-1")
    _, text = await daemon.tokens.create(
        "t", Role.ORCHESTRATOR, workspace=None, expires_in_s=None, who="uid:0"
    )
    asked = {"agent_ref": "a", "image": "i", "argv": ["x"], "input": "{}", "secrets": {"A_KEY": VALUE}}
    headers = {"Authorization": f"Bearer {text.reveal()}", "Idempotency-Key": "key-1"}
    async with daemon.client("192.0.2.1") as client:
        answer = await client.post(
            "/v1/runs", data={"request": json.dumps(asked)}, files=[("bundle", ("b", b""))], headers=headers
        )

    assert answer.status_code == 201
    assert answer.json()["id"] != first.json()["id"]


async def test_what_fails_is_tried_anew(daemon: Daemon):
    """No row is left of it, and no key is held."""
    daemon.service.error = ConflictError("not now")
    assert (await daemon.post("key-1")).status_code == 409
    daemon.service.error = None
    assert (await daemon.post("key-1")).status_code == 201
    assert len(await daemon.runs()) == 1


async def test_a_run_and_its_key_are_one_transaction(daemon: Daemon, monkeypatch: pytest.MonkeyPatch):
    """Where the row cannot be written there is no run, and without a run there is no row."""

    def broken(*_: object) -> None:
        raise RuntimeError("full")

    with monkeypatch.context() as patched:
        patched.setattr(Retries, "write", broken)
        assert (await daemon.post("key-1")).status_code == 500
    assert await daemon.runs() == []
    assert (await daemon.post("key-1")).status_code == 201


async def test_a_secret_is_in_no_row(daemon: Daemon, place: DatabasePlace):
    """Nor is a hash of the body that one could try guesses on."""
    await daemon.post("key-1")
    copied = place.copy()
    row = await daemon.service.database.read(lambda c: c.execute(sa.select(keys)).one())

    assert VALUE.encode() not in copied
    assert b"key-1" in copied
    assert len(row.body_hash) == 32
    other = Retries(daemon.service.database, HashKey(b"l" * 32))
    assert other._hash_key.hash([b"x"]) != daemon.retries._hash_key.hash([b"x"])


@pytest.mark.parametrize("key", ["", "a b", "a" * 256, "\x7f", "\u00fc"], ids=repr)
async def test_what_is_no_key_is_refused(daemon: Daemon, key: str):
    """And nothing is made."""
    async with daemon.client() as client:
        got = await client.post(
            "/v1/runs",
            data={"request": json.dumps({"agent_ref": "a", "image": "i", "argv": ["x"], "input": "{}"})},
            files=[("bundle", ("b", b""))],
            headers={"Idempotency-Key": key.encode()},
        )

    assert (got.status_code, got.json()["param"]) == (400, "Idempotency-Key")
    assert await daemon.runs() == []


@pytest.fixture
async def keeping(place: DatabasePlace) -> FastAPI:
    """The API of a daemon with a vault."""
    vault = place.vault()
    await vault.prepare()
    made = Daemon(place)
    return make_api(made.service, vault=vault, tokens=made.tokens, retries=made.retries)  # type: ignore[arg-type]


CREATED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a workspace": ("/v1/workspaces", {"name": "team"}, "workspaces"),
    "a secret": (
        "/v1/workspaces/default/secrets",
        {"name": "A_KEY", "value": VALUE, "description": f"of {VALUE}"},
        "secrets",
    ),
    "a token": ("/v1/tokens", {"name": "t", "role": "viewer"}, "tokens"),
}


@pytest.mark.parametrize("case", CREATED)
async def test_everything_that_is_created_is_created_once(keeping: FastAPI, place: DatabasePlace, case: str):
    """Told again without what is kept nowhere in clear: a token's text, a secret's description."""
    path, body, listed = CREATED[case]
    headers = {"Idempotency-Key": "key-1"}
    transport = httpx.ASGITransport(keeping, client=(UnixPeer("uid:0"), 0))
    async with httpx.AsyncClient(transport=transport, base_url="http://x", timeout=None) as client:
        before = len((await client.get(path)).json()[listed])
        first, again = [await client.post(path, json=body, headers=headers) for _ in range(2)]
        other = await client.post(path, json={**body, "name": "B_KEY"}, headers=headers)
        after = len((await client.get(path)).json()[listed])

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert (after - before, again.headers["idempotency-replayed"]) == (1, "true")
    told, kept = first.json(), again.json()
    text = told.pop("token", None)
    assert (text is not None, "token" in kept) == (case == "a token", False)
    told["description"] = kept.get("description")
    assert {**kept, "description": None} == {**told, "description": None}
    assert VALUE.encode() not in place.copy()
    assert text is None or text.encode() not in place.copy()


# -- the service ---------------------------------------------------------------------------------------


class Clock:
    """Epoch seconds, as a test has them."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def retries(place: DatabasePlace) -> Retries:
    """On a fresh database, with a clock of the test's."""
    return Retries(place.open(), HASH_KEY, clock=Clock())


async def begin(retries: Retries, body: bytes = b"body", place: Place = PLACE) -> Attempt:
    """An attempt, where there is no answer yet."""
    found = await retries.begin(place, [body])
    assert isinstance(found, Attempt)
    return found


async def made(retries: Retries, answer: Answer = ANSWER) -> None:
    """Answer it."""
    attempt = await begin(retries)
    await retries._database.write(lambda connection: attempt.record(connection, answer))
    attempt.leave()


async def test_a_key_in_flight_is_held(retries: Retries):
    """Until its request is done, whatever becomes of it."""
    attempt = await begin(retries)
    with pytest.raises(InFlightError):
        await retries.begin(PLACE, [b"body"])
    with pytest.raises(InFlightError):
        await retries.begin(PLACE, [b"another"])
    await begin(retries, place=PLACE._replace(key="key-2"))
    attempt.leave()
    (await begin(retries)).leave()


async def test_an_answer_is_kept_for_a_day(retries: Retries):
    """Then the key is free again, pruned or not."""
    clock = retries._clock
    assert isinstance(clock, Clock)
    await made(retries)
    assert await retries.begin(PLACE, [b"body"]) == ANSWER
    with pytest.raises(KeyReusedError):
        await retries.begin(PLACE, [b"another"])
    clock.now += KEPT_S - 1
    assert await retries.prune() == 0
    assert await retries.begin(PLACE, [b"body"]) == ANSWER
    clock.now += 1
    second = Answer(201, "{}")
    await made(retries, second)
    assert await retries.begin(PLACE, [b"body"]) == second
    clock.now += KEPT_S
    assert await retries.prune() == 1
    assert await retries.prune() == 0


async def test_whoever_is_second_is_undone(place: DatabasePlace):
    """Two daemons that both found no answer: the one whose transaction comes later makes nothing."""
    first, second = (Retries(place.open(), HASH_KEY) for _ in range(2))
    attempts = [await begin(each) for each in (first, second)]
    await first._database.write(lambda connection: attempts[0].record(connection, ANSWER))

    with pytest.raises(TakenError):
        await second._database.write(lambda connection: attempts[1].record(connection, ANSWER))


async def test_a_body_that_cannot_be_compared_is_a_conflict(place: DatabasePlace):
    """A daemon with another home does not know whether it is the same one: it makes nothing."""
    await made(Retries(place.open(), HASH_KEY))
    other = Retries(place.open(), HashKey(b"l" * 32))

    with pytest.raises(ConflictError, match="another home") as told:
        await other.begin(PLACE, [b"body"])
    assert not told.value.is_retryable
