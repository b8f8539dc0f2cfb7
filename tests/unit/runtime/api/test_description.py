"""runtime.api.description: refusals are described on every route, and so is who may call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.access.service import Tokens
from runtime.api.app import make_api
from runtime.api.problems import problem
from runtime.database.connection import open_database
from runtime.vault.service import Vault
from runtime.vault.source import FileKey
from tests.unit.runtime.fake_service import FakeService


@pytest.fixture
def described(tmp_path: Path) -> dict[str, Any]:
    """The whole description."""
    database = open_database(None, default=tmp_path / "db")
    vault = Vault(database, (FileKey(tmp_path / "vault.key"),))
    return make_api(FakeService(), vault=vault, tokens=Tokens(database)).openapi()


def test_every_route_may_answer_with_a_problem(described: dict[str, Any]):
    """And with nothing of FastAPI's own; all but the open one want a token."""
    for path, operations in described["paths"].items():
        for operation in operations.values():
            assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"]
            assert "422" not in operation["responses"]
            assert operation["security"] == ([] if path == "/healthz" else [{"token": []}])
    assert "HTTPValidationError" not in described["components"]["schemas"]


def test_a_problem_is_as_it_is_described(described: dict[str, Any]):
    """Each member that is sent, and each that is always there."""
    schema = described["components"]["schemas"]["Problem"]
    full = {"hint": "h", "param": "p", "retry_after_ms": 1, "request_id": "r"}
    for more in ({}, full):
        body = problem(409, "CONFLICT", "d", **more).body
        members = set(json.loads(body))
        assert set(schema["required"]) <= members <= set(schema["properties"])


def test_every_reference_is_there(described: dict[str, Any]):
    """Of bodies, too, whose parts pydantic describes elsewhere."""

    def references(found: Any) -> set[str]:
        if isinstance(found, dict):
            own = {found["$ref"]} if isinstance(found.get("$ref"), str) else set()
            return own.union(*(references(each) for each in found.values()))
        return set().union(*(references(each) for each in found)) if isinstance(found, list) else set()

    schemas = described["components"]["schemas"]
    found = references(described["paths"])
    assert found
    assert {name.rpartition("/")[2] for name in found} <= schemas.keys()


def test_what_is_written_is_described(described: dict[str, Any]):
    """Every route that makes or changes something says what it wants, but for those that want nothing."""
    without = {
        (method, path)
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        if method in {"post", "put", "patch"} and "requestBody" not in operation
    }
    assert without == {("post", "/v1/runs/{run_id}/cancel"), ("post", "/v1/vault/rotate")}
