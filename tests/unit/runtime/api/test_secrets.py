"""runtime.api.secrets: values go in, and no answer, problem or log holds one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from runtime.access.caller import UnixPeer
from runtime.api.app import make_api
from runtime.database.connection import open_database
from runtime.vault.service import Vault
from runtime.vault.source import FileKey
from tests.unit.runtime.fake_service import FakeService

VALUE = "sk-secret-value-000111222"
SECRETS = "/v1/workspaces/default/secrets"
ASKED = {"name": "A_KEY", "value": VALUE, "secret_type": "custom"}


@pytest.fixture
async def vault(tmp_path: Path) -> AsyncIterator[Vault]:
    """On SQLite."""
    database = open_database(None, default=tmp_path / "db")
    yield Vault(database, (FileKey(tmp_path / "vault.key"),))
    await database.close()


@pytest.fixture
async def api(vault: Vault) -> AsyncIterator[httpx.AsyncClient]:
    """The API in front of it; every answer is looked through for the value."""

    async def look(answer: httpx.Response) -> None:
        await answer.aread()
        assert VALUE not in answer.text + str(answer.headers)

    transport = httpx.ASGITransport(
        make_api(FakeService(), vault=vault), raise_app_exceptions=False, client=(UnixPeer("uid:0"), 0)
    )
    async with httpx.AsyncClient(
        transport=transport, base_url="http://orchbox", trust_env=False, event_hooks={"response": [look]}
    ) as made:
        yield made


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict:
    """The problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    return answer.json()


def contents(folder: Path) -> bytes:
    """All that is on the disk."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def stored(vault: Vault, name: str = "A_KEY") -> str | None:
    """What a run would get."""
    found = await vault.read("default", [name], run_id="r", reader="me")
    return found[name].reveal() if found else None


async def test_the_platforms_way(api: httpx.AsyncClient, vault: Vault):
    """POST creates, GET lists, PATCH by id changes, DELETE by id removes: as the orchagent CLI does it."""
    made = await api.post(SECRETS, json={**ASKED, "description": "d"})
    assert made.status_code == 201
    at = f"{SECRETS}/{made.json()['id']}"
    (listed,) = (await api.get(SECRETS)).json()["secrets"]
    assert listed == made.json()
    assert set(listed) == {
        "id", "name", "secret_type", "provider", "description", "created_at", "updated_at"
    }  # fmt: skip

    assert (await api.patch(at, json={"value": "another"})).json()["description"] == "d"
    assert await stored(vault) == "another"
    assert (await api.delete(at)).json() == {"name": "A_KEY", "deleted": True}
    assert (await api.get(SECRETS)).json() == {"secrets": []}


async def test_the_other_way(api: httpx.AsyncClient, vault: Vault):
    """PUT on the collection creates and replaces, DELETE by name removes: as its OpenAPI file says."""
    first = await api.put(SECRETS, json={"name": "OPENAI_API_KEY", "value": "one"})
    second = await api.put(SECRETS, json={"name": "OPENAI_API_KEY", "value": VALUE})

    assert first.json()["id"] == second.json()["id"]
    assert (second.json()["secret_type"], second.json()["provider"]) == ("llm_key", "openai")
    assert await stored(vault, "OPENAI_API_KEY") == VALUE
    assert (await api.delete(f"{SECRETS}/OPENAI_API_KEY")).status_code == 200


async def test_a_name_that_is_taken(api: httpx.AsyncClient, vault: Vault):
    """A second POST is a conflict and changes nothing."""
    await api.post(SECRETS, json=ASKED)

    assert_problem(await api.post(SECRETS, json={**ASKED, "value": "x"}), 409, "CONFLICT")
    assert await stored(vault) == VALUE


BAD = {
    "a lower-case name": {**ASKED, "name": "key"},
    "the value in the name's place": {**ASKED, "name": VALUE},
    "the value as a field": {**ASKED, VALUE: "x"},
    "the value as the type": {**ASKED, "secret_type": VALUE},
    "an empty value": {**ASKED, "value": ""},
    "a NUL": {**ASKED, "value": VALUE + "\0"},
    "more than 16 KiB": {**ASKED, "value": VALUE * 1000},
    "far more": {**ASKED, "value": VALUE * 40_000},
    "a value in a list": {**ASKED, "value": [VALUE]},
    "no value": {"name": "A_KEY"},
    "a list": [VALUE],
    "a text": VALUE,
    "a description of two lines": {**ASKED, "description": VALUE + "\n"},
}


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("case", BAD)
async def test_a_wrong_body_is_refused_unseen(api: httpx.AsyncClient, vault: Vault, method: str, case: str):
    """A 400 with what is wrong; what was sent is not repeated (the fixture looks), and nothing is written."""
    assert_problem(await api.request(method, SECRETS, json=BAD[case]), 400, "INVALID_INPUT")
    assert await vault.entries("default") == []


@pytest.mark.parametrize("body", [f'{{"value": "{VALUE}', VALUE, "", f'{{"name": {VALUE}}}', "\xff" + VALUE])
async def test_a_body_that_is_no_json_is_refused_unseen(api: httpx.AsyncClient, body: str):
    """A JSON error would quote it."""
    assert_problem(await api.put(SECRETS, content=body.encode("latin-1")), 400, "INVALID_INPUT")


async def test_what_is_not_there(api: httpx.AsyncClient):
    """404, and a value in the path does not come back."""
    for method, path in (
        ("DELETE", f"{SECRETS}/A_KEY"),
        ("DELETE", f"{SECRETS}/{VALUE}"),
        ("GET", f"/v1/workspaces/{VALUE}/secrets"),
        ("GET", "/v1/workspaces/nope/secrets/audit"),
    ):
        assert_problem(await api.request(method, path), 404, "NOT_FOUND")
    assert_problem(await api.patch(f"{SECRETS}/{VALUE}", json={"value": "x"}), 404, "NOT_FOUND")


async def test_there_is_no_way_to_a_value(api: httpx.AsyncClient):
    """No route reads one secret, and no answer has its value (the fixture looks)."""
    made = (await api.post(SECRETS, json=ASKED)).json()

    for ref in ("A_KEY", made["id"]):
        assert (await api.get(f"{SECRETS}/{ref}")).status_code == 405
    for path in (SECRETS, f"{SECRETS}/audit", "/v1/workspaces"):
        assert (await api.get(path)).status_code == 200


async def test_the_audit_says_who(api: httpx.AsyncClient, vault: Vault):
    """The newest first, up to a limit."""
    await api.post(SECRETS, json=ASKED)
    await vault.read("default", ["A_KEY"], run_id="run-1", reader="uid:7")
    await api.post("/v1/vault/rotate")
    lines = (await api.get(f"{SECRETS}/audit")).json()["audit"]

    assert [(line["who"], line["action"], line["name"], line["run_id"]) for line in lines] == [
        ("uid:0", "rotate", None, None),
        ("uid:7", "read", "A_KEY", "run-1"),
        ("uid:0", "set", "A_KEY", None),
    ]
    assert len((await api.get(f"{SECRETS}/audit", params={"limit": 1})).json()["audit"]) == 1
    assert_problem(await api.get(f"{SECRETS}/audit", params={"limit": 0}), 400, "INVALID_INPUT")


async def test_workspaces(api: httpx.AsyncClient):
    """`default` is there; another is made, and its secrets are found by name and id."""
    made = (await api.post("/v1/workspaces", json={"name": "team"})).json()
    await api.post("/v1/workspaces/team/secrets", json=ASKED)

    assert [w["name"] for w in (await api.get("/v1/workspaces")).json()["workspaces"]] == ["default", "team"]
    assert len((await api.get(f"/v1/workspaces/{made['id']}/secrets")).json()["secrets"]) == 1
    assert (await api.get(SECRETS)).json() == {"secrets": []}
    assert_problem(await api.post("/v1/workspaces", json={"name": "team"}), 409, "CONFLICT")
    assert_problem(await api.post("/v1/workspaces", json={"name": "A B"}), 400, "INVALID_INPUT")


async def test_a_lost_key_is_a_503_with_a_remedy(api: httpx.AsyncClient, vault: Vault, tmp_path: Path):
    """With a code of its own; names are listed all the same."""
    await api.post(SECRETS, json=ASKED)
    (tmp_path / "vault.key").unlink()
    database = open_database(None, default=tmp_path / "db")
    shut = Vault(database, (FileKey(tmp_path / "vault.key"),))
    transport = httpx.ASGITransport(
        make_api(FakeService(), vault=shut), raise_app_exceptions=False, client=(UnixPeer("uid:0"), 0)
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://orchbox", trust_env=False) as other:
        for answer in (await other.put(SECRETS, json=ASKED), await other.post("/v1/vault/rotate")):
            body = assert_problem(answer, 503, "VAULT_KEY_ERROR")
            assert body["detail"].startswith("Failed to read the vault's key")
            assert body["hint"]
        assert [s["name"] for s in (await other.get(SECRETS)).json()["secrets"]] == ["A_KEY"]
        assert (await other.get("/healthz")).status_code == 200
    await database.close()


async def test_a_bug_of_ours_logs_no_value(
    api: httpx.AsyncClient, vault: Vault, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """A 500's log line names the place, never the exception's text or what was sent."""

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError(VALUE)

    monkeypatch.setattr(vault, "put", fail)

    assert_problem(await api.put(SECRETS, json=ASKED), 500, "INTERNAL_ERROR")
    out, err = capfd.readouterr()
    assert "request-failed" in out + err
    assert VALUE not in out + err


async def test_neither_database_nor_audit_holds_a_value(
    api: httpx.AsyncClient, vault: Vault, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """Set, read by a run, replaced and deleted: it was on no disk and in no log."""
    await api.post(SECRETS, json={**ASKED, "description": "for a project"})
    found = await vault.read("default", ["A_KEY"], run_id="run-1", reader="me")
    await api.patch(f"{SECRETS}/A_KEY", json={"value": VALUE + "2"})
    await api.delete(f"{SECRETS}/A_KEY")
    audit = json.dumps((await api.get(f"{SECRETS}/audit")).json())
    files = contents(tmp_path)

    assert VALUE not in repr(found) + str(found) + repr(vault.__dict__) + audit
    assert VALUE.encode() not in files
    assert b"for a project" not in files
    assert VALUE not in str(capfd.readouterr())
