"""runtime.api.gate: nobody is let in whom nobody vouches for, and every route says what it asks for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from runtime.access.caller import UnixPeer
from runtime.access.scopes import ROLES, Caller, Role, Scope
from runtime.access.service import Tokens
from runtime.api.app import make_api
from runtime.api.gate import OPEN, check_routes, needs, open_to_all
from runtime.database.connection import open_database
from runtime.model.limits import Isolation
from runtime.model.run import Run, RunState
from runtime.policies.catalogue import PolicyCatalogue
from runtime.vault.service import Vault
from runtime.vault.source import FileKey
from tests.unit.runtime.fake_service import RUN_ID, FakeService

WRITES = {"POST", "PUT", "PATCH", "DELETE"}


class World:
    """The API with everything in it, over a fake service, as a token's caller finds it."""

    def __init__(self, folder: Path) -> None:
        self.database = open_database(None, default=folder / "db")
        self.service = FakeService()
        self.vault = Vault(self.database, (FileKey(folder / "vault.key"),))
        self.tokens = Tokens(self.database)
        self.app = make_api(
            self.service, vault=self.vault, tokens=self.tokens, policies=PolicyCatalogue([], site=None).placed
        )

    @asynccontextmanager
    async def client(self, client: str = "192.0.2.1", **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        """Whoever sends these headers from this address."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(client, 0))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://orchbox", headers=headers, trust_env=False
        ) as made:
            yield made

    async def token(self, role: Role, workspace: str | None = None) -> str:
        """The text of a new one."""
        _, text = await self.tokens.create("t", role, workspace=workspace, expires_in_s=None, who="uid:0")
        return text.reveal()

    def routes(self) -> list[tuple[str, str, Scope | None]]:
        """Every method and path, with the scope that it asks for."""
        found = []
        for route in self.app.routes:
            for each in getattr(getattr(route, "dependant", None), "dependencies", ()):
                if not hasattr(each.call, "scope"):
                    continue
                found += [(method, route.path, each.call.scope) for method in route.methods]
        return found


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A new one."""
    made = World(tmp_path)
    await made.vault.prepare()
    yield made
    await made.database.close()


def filled(path: str) -> str:
    """A path with something in its places."""
    return path.format(run_id=RUN_ID, workspace="default", ref="A_KEY", token_id="0" * 16, name="llm-only")


HEADERS: dict[str, Callable[[str], dict[str, str]]] = {
    "none": lambda token: {},
    "an empty token": lambda token: {"Authorization": "Bearer "},
    "another scheme": lambda token: {"Authorization": f"Basic {token}"},
    "a token in another header": lambda token: {"X-Api-Key": token, "Cookie": f"token={token}"},
    "claims of the unix socket": lambda token: {"X-Forwarded-For": "uid:0", "Forwarded": "for=uid:0"},
    "a token that is none": lambda token: {"Authorization": "Bearer orch_0"},
    "no ASCII": lambda token: {"Authorization": "Bearer \u00fc"},
}


@pytest.mark.parametrize("case", HEADERS)
async def test_no_route_but_the_open_one_answers_a_stranger(world: World, case: str):
    """Not even whether it is there; and no body is read first."""
    token = await world.token(Role.OPERATOR)
    headers = {name: value.encode() for name, value in HEADERS[case](token).items()}
    async with world.client(**headers) as client:
        for method, path, _scope in [*world.routes(), ("GET", "/openapi.json", None), ("GET", "/none", None)]:
            world.tokens._attempts._failures.clear()
            answer = await client.request(method, filled(path))
            if path in OPEN:
                assert answer.status_code == 200
                continue
            assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_REQUIRED"), path
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.json()["request_id"] == answer.headers["x-request-id"]
            assert token not in answer.text
    assert world.service.requests == []


async def test_a_second_token_beside_the_first_is_no_token(world: World):
    """Which of the two would count, others in between may see differently."""
    token = await world.token(Role.OPERATOR)
    both = [("Authorization", f"Bearer {token}"), ("Authorization", "Bearer x")]
    async with world.client() as client:
        assert (await client.get("/v1/runs", headers=both)).status_code == 401
        assert (await client.get("/v1/runs", headers=both[:1])).status_code == 200


@pytest.mark.parametrize("role", Role)
async def test_a_role_gets_past_the_gate_where_its_scopes_let_it(world: World, role: Role):
    """Every route there is, as the table of roles has it."""
    async with world.client(Authorization=f"Bearer {await world.token(role)}") as client:
        for method, path, scope in world.routes():
            answer = await client.request(method, filled(path))
            is_refused = scope is not None and scope not in ROLES[role]
            assert (answer.status_code == 403) == is_refused, (method, path, answer.text)
            if is_refused:
                assert answer.json()["code"] == "PERMISSION_DENIED"
                assert scope is not None
                assert scope.value in answer.json()["detail"]


async def test_the_unix_socket_is_an_operators(world: World):
    """Its owner, and root: the kernel says so."""
    async with world.client(UnixPeer("uid:4711")) as client:
        told = (await client.get("/v1/whoami")).json()
    assert told == {
        "caller": "uid:4711",
        "role": "operator",
        "workspace": None,
        "scopes": sorted(scope.value for scope in Scope),
    }


async def test_a_text_is_no_unix_peer(world: World):
    """However it came into the place of a peer's address."""
    async with world.client("uid:0") as client:
        assert (await client.get("/v1/whoami")).status_code == 401


async def test_too_many_failures_are_told_when_to_come_again(world: World):
    """429 with Retry-After, in seconds."""
    async with world.client(Authorization="Bearer x") as client:
        answers = [await client.get("/v1/runs") for _ in range(12)]
    last = answers[-1]
    assert (last.status_code, last.json()["code"]) == (429, "RATE_LIMITED")
    assert int(last.headers["retry-after"]) > 0


async def test_whoever_is_bound_to_a_workspace_sees_no_other(world: World):
    """Runs and secrets of another are as if they were not there, in the very same words."""
    await world.vault.add_workspace("mine")
    await world.vault.add_workspace("other")
    ids = {}
    for number, workspace in enumerate(("mine", "other")):
        ids[workspace] = f"{RUN_ID[:-1]}{number}"
        world.service.put(
            Run(ids[workspace], "a", "p", Isolation.RUNC, RunState.COMPLETED, 1.0, workspace=workspace)
        )
    token = await world.token(Role.OPERATOR, "mine")
    async with world.client(Authorization=f"Bearer {token}") as client:
        listed = (await client.get("/v1/runs")).json()["items"]
        assert [run["id"] for run in listed] == [ids["mine"]]
        names = [each["name"] for each in (await client.get("/v1/workspaces")).json()["workspaces"]]
        assert names == ["mine"]
        for method, path, scope in world.routes():
            if "{run_id}" not in path and "{workspace}" not in path:
                continue
            there, away = [
                await client.request(
                    method, filled(path.replace("{run_id}", run).replace("{workspace}", ref))
                )
                for run, ref in ((ids["other"], "other"), ("none", "none"))
            ]
            assert there.status_code == away.status_code == 404, (path, there.text)
            assert there.json()["detail"].replace(ids["other"], "none") == away.json()["detail"]
            assert scope is not None


async def test_a_caller_names_its_own_workspace_without_knowing_it(world: World):
    """`-` is the one that the token is bound to, and `default` for a token that is bound to none."""
    await world.vault.add_workspace("mine")
    for workspace in ("mine", None):
        token = await world.token(Role.ORCHESTRATOR, workspace)
        async with world.client(Authorization=f"Bearer {token}") as client:
            for path in ("-", workspace or "default"):
                body = {"name": "A_KEY", "value": f"value of {path}"}
                assert (await client.put(f"/v1/workspaces/{path}/secrets", json=body)).status_code == 200
    for workspace in ("mine", "default"):
        assert [each.name for each in await world.vault.entries(workspace)] == ["A_KEY"]


async def test_a_new_run_is_the_callers_workspaces(world: World):
    """By itself where it is bound; another one, or one that is not there, is not found."""
    await world.vault.add_workspace("mine")
    asked = {"agent_ref": "a", "image": "i", "argv": ["true"], "input": "{}"}
    files = [("bundle", ("b", b""))]
    token = await world.token(Role.ORCHESTRATOR, "mine")
    async with world.client(Authorization=f"Bearer {token}") as client:
        for workspace, status in ((None, 201), ("mine", 201), ("default", 404), ("none", 404)):
            body = asked if workspace is None else {**asked, "workspace": workspace}
            answer = await client.post("/v1/runs", data={"request": json.dumps(body)}, files=files)
            assert answer.status_code == status
    assert [request.workspace for request in world.service.requests] == ["mine", "mine"]


# -- routes that say nothing -------------------------------------------------------------------------


def nothing(app: FastAPI) -> None:
    """Ask for no scope."""

    @app.get("/v1/forgotten")
    async def forgotten() -> None: ...


def twice(app: FastAPI) -> None:
    """Ask for two."""

    @app.get("/v1/twice", dependencies=[needs(Scope.RUNS_READ), needs(Scope.RUNS_WRITE)])
    async def twice() -> None: ...


def opened(app: FastAPI) -> None:
    """Be open without being listed so."""

    @app.get("/v1/opened", dependencies=[open_to_all()])
    async def opened() -> None: ...


def closed(app: FastAPI) -> None:
    """Ask for a scope where the gate lets everybody pass."""

    @app.get("/healthz", dependencies=[needs(Scope.RUNS_READ)])
    async def healthz() -> None: ...


def mounted(app: FastAPI) -> None:
    """Bring routes of another kind."""
    app.mount("/static", FastAPI())


@pytest.mark.parametrize("add", [nothing, twice, opened, closed, mounted])
def test_a_route_that_does_not_say_what_it_needs_does_not_start(add: Callable[[FastAPI], None]):
    """Nor does one that contradicts the list of open paths."""
    app = FastAPI(docs_url=None, redoc_url=None)
    check_routes(app)
    add(app)
    with pytest.raises(RuntimeError):
        check_routes(app)


async def test_a_websocket_is_not_passed_on(world: World):
    """No route of ours speaks it, and the gate knows nobody's caller there."""

    async def nobody(*_args: object) -> dict[str, object]:
        raise AssertionError

    with pytest.raises(RuntimeError, match="HTTP only"):
        await world.app({"type": "websocket", "path": "/v1/runs", "headers": []}, nobody, nobody)


def test_a_caller_is_not_changed():
    """What a handler gets is what the gate has found."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Caller("uid:0", Role.VIEWER).role = Role.OPERATOR  # type: ignore[misc]


async def test_nobody_is_sent_to_another_host(world: World):
    """FastAPI would answer a path with a slash too many with a redirect to the host of the `Host` header."""
    async with world.client(Authorization=f"Bearer {await world.token(Role.VIEWER)}") as client:
        answer = await client.get("/v1/whoami/", headers={"Host": "elsewhere.example"})
    assert (answer.status_code, "location" in answer.headers) == (404, False)


async def test_a_load_balancer_may_ask_by_head(world: World):
    """As it may by GET, and nothing else of a stranger is answered so."""
    async with world.client() as client:
        asked = [await client.head(path) for path in ("/healthz", "/readyz")]
    assert [answer.status_code for answer in asked] == [200, 401]
    assert asked[0].content == b""
