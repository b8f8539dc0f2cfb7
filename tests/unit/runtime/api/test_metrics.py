"""runtime.api.metrics and runtime.api.counts: who may read the metrics, and which answers are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from runtime.access.scopes import Role
from runtime.access.service import Tokens
from runtime.api.app import make_api
from runtime.api.counts import RequestCounts
from runtime.database.connection import open_database
from runtime.vault.service import Vault
from runtime.vault.source import FileKey
from tests.unit.runtime.fake_service import RUN_ID, FakeService

MAY = {Role.OPERATOR: True, Role.ORCHESTRATOR: True, Role.VIEWER: True, Role.TESTER: False}


class World:
    """An API that counts, as the holder of a token finds it."""

    def __init__(self, folder: Path) -> None:
        self.counts: RequestCounts = Counter()
        self.database = open_database(None, default=folder / "db")
        self.tokens = Tokens(self.database)
        self.operator = ""
        self.service = FakeService()
        self.app = make_api(
            self.service,
            vault=Vault(self.database, (FileKey(folder / "vault.key"),)),
            tokens=self.tokens,
            metrics=lambda: (b"orchbox_up 1\n", "text/plain; version=0.0.4; charset=utf-8"),
            counts=self.counts,
        )

    async def token(self, role: Role, workspace: str | None = None) -> str:
        """The text of a new one."""
        _, text = await self.tokens.create("t", role, workspace=workspace, expires_in_s=None, who="uid:0")
        return text.reveal()

    async def ask(self, method: str, path: str, *, token: str | None = None) -> httpx.Response:
        """One request, of the operator where nobody else is named."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=("192.0.2.1", 0))
        shown = self.operator if token is None else token
        headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://orchbox", headers=headers, trust_env=False
        ) as client:
            return await client.request(method, path)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A new one."""
    made = World(tmp_path)
    made.operator = await made.token(Role.OPERATOR)
    yield made
    await made.database.close()


async def test_the_answer_is_what_the_daemon_says(world: World):
    """With the media type that Prometheus asks for, unchanged."""
    answer = await world.ask("GET", "/metrics")

    assert (answer.status_code, answer.text) == (200, "orchbox_up 1\n")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize("role", Role)
async def test_who_may_read_them(world: World, role: Role):
    """Whoever looks after the host, and no tester; nobody whose token is bound to a workspace."""
    for workspace, is_let_in in ((None, MAY[role]), ("default", False)):
        answer = await world.ask("GET", "/metrics", token=await world.token(role, workspace))
        assert answer.status_code == (200 if is_let_in else 403)
    assert (await world.ask("GET", "/metrics", token="")).status_code == 401


async def test_each_answer_is_counted_by_its_route(world: World):
    """By the template and not by the path; also what no route, the gate or a defect answers."""
    await world.ask("GET", "/healthz")
    await world.ask("GET", "/healthz")
    await world.ask("GET", f"/v1/runs/{RUN_ID}")
    await world.ask("GET", "/v1/runs", token="")
    world.service.page = None  # type: ignore[assignment,method-assign]
    await world.ask("GET", "/v1/runs")

    assert world.counts == {
        ("/healthz", "GET", 200): 2,
        ("/v1/runs/{run_id}", "GET", 404): 1,
        ("none", "GET", 401): 1,
        ("/v1/runs", "GET", 500): 1,
    }


async def test_no_caller_makes_the_counts_grow(world: World):
    """Whatever paths, methods and ids are asked for."""
    for number in range(200):
        await world.ask("GET", f"/v1/runs/{number}")
        await world.ask("GET", f"/path/{number}")
        await world.ask(f"MADE{number}", f"/healthz?q={number}")

    assert set(world.counts) == {
        ("/v1/runs/{run_id}", "GET", 404),
        ("none", "GET", 404),
        ("/healthz", "other", 405),
    }
