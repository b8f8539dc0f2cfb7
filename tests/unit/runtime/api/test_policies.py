"""runtime.api.policies: a platform asks what the proxy would do, and learns nothing that is not its own."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from runtime.access.caller import UnixPeer
from runtime.access.scopes import Role
from runtime.access.service import Tokens
from runtime.api import policies
from runtime.api.app import make_api
from runtime.database.connection import open_database
from runtime.policies.catalogue import PolicyCatalogue
from runtime.vault.service import Vault
from runtime.vault.source import FileKey
from tests.unit.runtime.fake_service import FakeService

POLICY = """version: 1
name: mine
egress:
  allow:
    - host: api.test
      credential: A_KEY
    - host: "*.wild.test"
    - host: pinned.test
"""
SITE = """version: 1
name: site
resolve: {pinned.test: [10.9.8.7]}
allow_private: [10.9.8.0/24]
"""
KEY = "sk-true-0123456789abcdef"


class World:
    """The API over one policy, with a resolver that counts."""

    def __init__(self, folder: Path) -> None:
        (folder / "mine.yaml").write_text(POLICY)
        (folder / "site.yaml").write_text(SITE)
        self.lookups: list[str] = []
        self.database = open_database(None, default=folder / "db")
        self.vault = Vault(self.database, (FileKey(folder / "vault.key"),))
        self.tokens = Tokens(self.database)
        self.app = make_api(
            FakeService(),
            tokens=self.tokens,
            policies=PolicyCatalogue([folder], site=folder / "site.yaml").placed,
            make_lookup=lambda: self.lookup,
        )

    async def lookup(self, host: str) -> list[str]:
        """Every name is at one private address."""
        self.lookups.append(host)
        return ["10.0.0.1"]

    @asynccontextmanager
    async def client(
        self, role: Role | None = None, workspace: str | None = None
    ) -> AsyncIterator[httpx.AsyncClient]:
        """Who calls: the socket's owner, or a token."""
        headers = {}
        if role is not None:
            _, text = await self.tokens.create("t", role, workspace=workspace, expires_in_s=None, who="uid:0")
            headers["Authorization"] = f"Bearer {text.reveal()}"
        peer = UnixPeer("uid:0") if role is None else "192.0.2.1"
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(peer, 0))
        async with httpx.AsyncClient(transport=transport, base_url="http://orchbox", headers=headers) as made:
            yield made


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A new one."""
    made = World(tmp_path)
    await made.vault.prepare()
    await made.vault.add_workspace("a-workspace")
    yield made
    await made.database.close()


EXPLAIN = "/v1/policies/mine/explain"


async def test_a_platform_is_told_what_the_proxy_would_do(world: World):
    """Credentials by name; the key that was sent is in no part of the answer."""
    headers = [["Authorization", f"Bearer {KEY}"], ["X-Note", "${A_KEY}"]]
    body = base64.b64encode(KEY.encode()).decode()
    async with world.client(Role.ORCHESTRATOR) as client:
        own = await client.post(
            EXPLAIN, json={"url": "https://api.test/x", "headers": [["x-api-key", "${A_KEY}"]]}
        )
        asked = {"url": f"https://api.test/x?key={KEY}", "method": "POST", "headers": headers, "body": body}
        other = await client.post(EXPLAIN, json=asked)
    assert (own.status_code, own.json()["verdict"], own.json()["credentials"]["swapped"]) == (
        200,
        "allow",
        ["A_KEY"],
    )
    assert other.json()["reason_code"] == "credential_host"
    assert KEY not in other.text
    assert world.lookups == []


@pytest.mark.parametrize("role", [Role.ORCHESTRATOR, Role.TESTER, Role.VIEWER])
async def test_nobody_but_an_operator_has_a_name_looked_up(world: World, role: Role):
    """An answer would be a scan of the operator's network, and a question a way out for data."""
    asked = {"url": "https://secret-in-a-name.wild.test/", "resolve": True}
    async with world.client(role) as client:
        refused = await client.post(EXPLAIN, json=asked)
        pinned = await client.post(EXPLAIN, json={"url": "https://pinned.test/"})
    async with world.client(Role.OPERATOR, "a-workspace") as client:
        bound = await client.post(EXPLAIN, json=asked)
    assert [(answer.status_code, answer.json()["code"]) for answer in (refused, bound)] == [
        (403, "PERMISSION_DENIED")
    ] * 2
    assert world.lookups == []
    assert (pinned.json()["verdict"], pinned.json()["addresses"]["source"]) == ("allow", "pinned")
    assert "10.9.8.7" not in pinned.text
    assert pinned.json()["rule"]["file"] == "mine.yaml"


async def test_the_body_is_described(world: World):
    """For whoever makes a client of the description."""
    async with world.client() as client:
        described = (await client.get("/openapi.json")).json()["paths"]["/v1/policies/{name}/explain"]["post"]
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    assert (schema["required"], schema["additionalProperties"]) == (["url"], False)


async def test_an_operator_has(world: World, tmp_path: Path):
    """Only where it is asked for, and only a name that the policy allows."""
    async with world.client() as client:
        await client.post(EXPLAIN, json={"url": "https://x.wild.test/"})
        await client.post(EXPLAIN, json={"url": "https://evil.test/", "resolve": True})
        assert world.lookups == []
        found = await client.post(EXPLAIN, json={"url": "https://x.wild.test/", "resolve": True})
        pinned = await client.post(EXPLAIN, json={"url": "https://pinned.test/"})
    assert world.lookups == ["x.wild.test"]
    assert (found.json()["reason_code"], found.json()["addresses"]["found"][0]["address"]) == (
        "private_address",
        "10.0.0.1",
    )
    assert pinned.json()["addresses"]["dialled"] == "10.9.8.7"
    assert pinned.json()["rule"]["file"] == str(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({}, 400, "INVALID_INPUT"),
        ({"url": "ftp://a.test"}, 400, "INVALID_INPUT"),
        ({"url": "https://a.test/", "more": KEY}, 400, "INVALID_INPUT"),
        ({"url": "https://a.test/", "headers": [["a", f"{KEY}\r\nb: c"]]}, 400, "INVALID_INPUT"),
        ({"url": "https://a.test/", "headers": [["a"]]}, 400, "INVALID_INPUT"),
        ({"url": "https://a.test/", "headers": "a: b"}, 400, "INVALID_INPUT"),
        ({"url": "https://a.test/", "headers": [["a", "\ud800"]]}, 400, "INVALID_INPUT"),
        ({"url": "https://a.test/", "body": f"*{KEY}"}, 400, "INVALID_INPUT"),
        ({"url": "https://a.test/", "secrets": [KEY]}, 400, "INVALID_INPUT"),
        ({"url": "https://a.test/" + "a" * (2 << 20)}, 413, "DOCUMENT_TOO_LARGE"),
    ],
    ids=[
        "nothing",
        "no URL",
        "an unknown field",
        "two headers in one",
        "half a header",
        "no list",
        "half a character",
        "no base64",
        "no name",
        "too long",
    ],
)
async def test_what_cannot_be_asked_is_a_problem(world: World, asked: dict, status: int, code: str):
    """It repeats nothing of what was sent."""
    async with world.client() as client:
        answer = await client.post(EXPLAIN, content=json.dumps(asked))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert KEY not in answer.text


@pytest.mark.parametrize(
    ("name", "status"), [("nope", 404), ("..%2fmine", 404), ("Mine", 400), ("a" * 65, 400)]
)
async def test_a_policy_is_named(world: World, name: str, status: int):
    """And is no path."""
    async with world.client() as client:
        answer = await client.post(f"/v1/policies/{name}/explain", json={"url": "https://a.test/"})
    assert answer.status_code == status


async def test_so_many_are_explained_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch):
    """The next one is told when to come again, and is not queued."""
    go_on = asyncio.Event()

    async def waits(*_: object, **__: object) -> dict:
        await go_on.wait()
        return {}

    monkeypatch.setattr(policies.asyncio, "to_thread", waits)
    async with world.client() as client:
        asked = {"url": "https://a.test/"}
        tasks = [
            asyncio.create_task(client.post(EXPLAIN, json=asked)) for _ in range(policies.MAX_AT_A_TIME + 1)
        ]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=30)
        (refused,) = done
        assert (refused.result().status_code, refused.result().headers["retry-after"]) == (429, "1")
        go_on.set()
        answers = await asyncio.gather(*tasks)
    assert sorted(answer.status_code for answer in answers) == [200] * policies.MAX_AT_A_TIME + [429]
