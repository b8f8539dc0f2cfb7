"""runtime.api.recorded: what is asked of the API is on record, and what cannot be is not done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request

from runtime.access.caller import UnixPeer
from runtime.access.scopes import Role, Scope
from runtime.access.service import Tokens
from runtime.api.app import make_api
from runtime.api.gate import needs
from runtime.audit.sparse import LINES
from runtime.database.connection import open_database
from runtime.vault.service import Vault
from runtime.vault.source import FileKey
from tests.unit.runtime.fake_audit import FakeAudit
from tests.unit.runtime.fake_service import FakeService

VALUE = "a value that is secret"


class World:
    """The API with its audit."""

    def __init__(self, folder: Path) -> None:
        self.audit = FakeAudit()
        self.database = open_database(None, default=folder / "db")
        self.vault = Vault(self.database, (FileKey(folder / "vault.key"),))
        self.tokens = Tokens(self.database)
        self.app = make_api(FakeService(), vault=self.vault, tokens=self.tokens, audit=self.audit)

    async def ask(self, method: str, path: str, *, token: str | None = None, **more: Any) -> httpx.Response:
        """As the unix socket's owner, or with a token from elsewhere."""
        peer = UnixPeer("uid:7") if token is None else "192.0.2.1"
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(peer, 0))
        async with httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client:
            return await client.request(method, path, **more)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Nothing is on record yet."""
    world = World(tmp_path)
    yield world
    await world.database.close()


async def test_a_change_is_on_record_before_and_after(world: World):
    """Who, what, and how it ended; names and no value."""
    body = {"name": "A_KEY", "value": VALUE}
    answer = await world.ask("PUT", "/v1/workspaces/default/secrets", json=body)
    assert answer.status_code == 200
    said = {
        "request": answer.headers["x-request-id"],
        "method": "PUT",
        "path": "/v1/workspaces/default/secrets",
    }
    assert world.audit.lines == [
        ("api.call", "uid:7", said),
        ("api.answer", "uid:7", {**said, "secret": "A_KEY", "status": 200}),
    ]
    assert VALUE not in repr(world.audit.lines)


async def test_what_cannot_be_on_record_is_not_done(world: World):
    """503 with the remedy, and the secret is not there; looking goes on."""
    world.audit.is_full = True
    body = {"name": "A_KEY", "value": VALUE}
    answer = await world.ask("PUT", "/v1/workspaces/default/secrets", json=body)
    assert (answer.status_code, answer.json()["hint"]) == (503, "make room")
    found = await world.ask("GET", "/v1/workspaces/default/secrets")
    assert found.json() == {"secrets": []}


async def test_a_look_is_on_record_once(world: World):
    """With its status, whatever it is."""
    for path, status in (("/v1/runs?limit=1", 200), ("/v1/runs/none", 404), ("/v1/nothing", 404)):
        assert (await world.ask("GET", path)).status_code == status
    assert [(kind, data["path"], data["status"]) for kind, _, data in world.audit.lines] == [
        ("api.answer", "/v1/runs", 200),
        ("api.answer", "/v1/runs/none", 404),
        ("api.answer", "/v1/nothing", 404),
    ]


async def test_a_token_is_named_by_its_id(world: World):
    """With the address that it came from, and its workspace; its text stands nowhere."""
    await world.vault.add_workspace("acme")
    entry, text = await world.tokens.create(
        "t", Role.VIEWER, workspace="acme", expires_in_s=None, who="uid:0"
    )
    await world.ask("GET", "/v1/runs", token=text.reveal())
    await world.ask("GET", f"/v1/runs/{text.reveal()}", token=text.reveal())
    kinds = {(kind, who, data["peer"], data["workspace"]) for kind, who, data in world.audit.lines}
    assert kinds == {("api.answer", f"token:{entry.id}", "192.0.2.1", "acme")}
    assert text.reveal()[5:] not in repr(world.audit.lines)


async def test_a_new_token_is_named_in_its_line(world: World):
    """By id and role, what it is good for, and how long."""
    body = {"name": "n", "role": "viewer", "workspace": "default", "expires_in_s": 60}
    made = (await world.ask("POST", "/v1/tokens", json=body)).json()
    _, _, data = world.audit.lines[-1]
    said = {key: data.get(key) for key in ("token", "role", "token_workspace", "expires_at")}
    assert said == {
        "token": made["id"],
        "role": "viewer",
        "token_workspace": "default",
        "expires_at": made["expires_at"],
    }
    assert made["token"] not in repr(world.audit.lines)


async def test_a_flood_of_strangers_is_a_bounded_number_of_lines(world: World):
    """Nobody fills a disk without a token."""
    for _ in range(LINES + 30):
        await world.ask("DELETE", "/v1/runs/x", token="wrong")
    refused = [line for line in world.audit.lines if line[0] == "api.refused"]
    assert LINES <= len(refused) < LINES + 20
    assert len(refused) == len(world.audit.lines)
    assert {(who, data["peer"]) for _, who, data in refused} == {("unknown", "192.0.2.1")}


async def test_the_end_of_a_flood_is_counted(world: World):
    """Also where nothing comes behind it."""
    for _ in range(LINES + 30):
        await world.ask("DELETE", "/v1/runs/x", token="wrong")
    world.audit.close()
    refused = [data for kind, _, data in world.audit.lines if kind == "api.refused"]
    assert sum(("path" in data) + data["suppressed"] for data in refused) == LINES + 30


async def test_looks_without_end_are_a_bounded_number_of_lines(world: World):
    """Counted for each caller; what changes something has its lines, however often."""
    for _ in range(LINES + 30):
        await world.ask("GET", "/v1/runs/none")
    assert len(world.audit.lines) < LINES + 20
    world.audit.close()
    assert sum(("path" in data) + data["suppressed"] for _, _, data in world.audit.lines) == LINES + 30
    world.audit.lines.clear()
    for _ in range(LINES + 30):
        await world.ask("DELETE", "/v1/runs/none")
    assert [kind for kind, _, _ in world.audit.lines] == ["api.call", "api.answer"] * (LINES + 30)


async def test_whether_it_is_ready_is_no_matter_for_the_audit(world: World):
    """It is asked for without end; that somebody may not ask is."""
    viewer, text = await world.tokens.create("t", Role.VIEWER, workspace=None, expires_in_s=None, who="uid:0")
    await world.ask("GET", "/readyz")
    assert world.audit.lines == []
    assert (await world.ask("GET", "/readyz?x=y")).status_code == 400
    assert [kind for kind, _, _ in world.audit.lines] == ["api.answer"]
    world.audit.lines.clear()
    await world.tokens.revoke(viewer.id)
    assert (await world.ask("GET", "/readyz", token=text.reveal())).status_code == 401
    assert [kind for kind, _, _ in world.audit.lines] == ["api.refused"]


async def test_what_looks_like_a_token_is_masked_in_a_method_too(world: World):
    """Whoever mixes up the words of a request has it on record otherwise."""
    method = "ORCH_" + "0" * 40
    for sent in (method, method.lower()):
        await world.ask(sent, "/v1/runs")
    assert {data["method"] for _, _, data in world.audit.lines} == {"orch_***"}


async def test_a_failure_of_ours_is_on_record(world: World):
    """As the 500 that it is answered with."""

    @world.app.get("/v1/broken", dependencies=[needs(Scope.HEALTH_READ)])
    async def broken(request: Request) -> None:
        raise RuntimeError(request.url.path)

    assert (await world.ask("GET", "/v1/broken")).status_code == 500
    assert [(kind, data["status"]) for kind, _, data in world.audit.lines] == [("api.answer", 500)]


async def test_what_is_open_to_all_is_not_on_record(world: World):
    """It says nothing, and anybody may ask for it."""
    await world.ask("GET", "/healthz", token="wrong")
    assert world.audit.lines == []
