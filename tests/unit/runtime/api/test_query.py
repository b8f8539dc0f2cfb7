"""What stands behind a path's `?`, on every route."""

from __future__ import annotations

import httpx
import pytest
from fastapi import Depends, FastAPI

from runtime.api.query import strict_query
from tests.unit.runtime.api.test_app import assert_problem
from tests.unit.runtime.fake_service import RUN_ID, FakeService

ROUTES = [
    ("POST", "/v1/runs"),
    ("GET", "/v1/runs"),
    ("GET", f"/v1/runs/{RUN_ID}"),
    ("POST", f"/v1/runs/{RUN_ID}/cancel"),
    ("GET", f"/v1/runs/{RUN_ID}/events"),
    ("GET", f"/v1/runs/{RUN_ID}/decisions"),
    ("GET", "/readyz"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_an_unknown_parameter_is_named(
    api: httpx.AsyncClient, service: FakeService, method: str, path: str
):
    """And nothing is done."""
    body = assert_problem(await api.request(method, path, params={"colour": "red"}), 400, "INVALID_INPUT")

    assert body["param"] == "colour"
    assert "colour" in body["detail"]
    assert service.requests == []


async def test_a_parameter_that_stands_there_twice_is_refused(api: httpx.AsyncClient):
    """Which of the two would count, a reader of the log may see differently."""
    for query in ("limit=1&limit=2", "label.a=1&label.a=2"):
        body = assert_problem(await api.get(f"/v1/runs?{query}"), 400, "INVALID_INPUT")
        assert body["param"] == query.partition("=")[0]


@pytest.mark.parametrize("name", ["<script>", "a" * 65, "a\nb", ""], ids=repr)
async def test_a_name_that_is_none_is_not_repeated(api: httpx.AsyncClient, name: str):
    """It may be anything."""
    body = assert_problem(await api.get("/v1/runs", params={name: "1"}), 400, "INVALID_INPUT")

    assert body["param"] == "a parameter"


async def test_labels_are_no_filter_where_there_is_no_list(api: httpx.AsyncClient):
    """A route that does not ask for them takes none."""
    answer = await api.get(f"/v1/runs/{RUN_ID}", params={"label.a": "1"})

    assert assert_problem(answer, 400, "INVALID_INPUT")["param"] == "label.a"


def test_the_whole_api_is_strict():
    """It is the app that asks for it, not each route."""
    app = FastAPI(dependencies=[Depends(strict_query)])

    @app.get("/x")
    async def x() -> None: ...

    assert any(each.call is strict_query for each in app.routes[-1].dependant.dependencies)
