"""`GET /v1/runs`: filters, pages, and that nothing that is misspelt is taken for no filter at all."""

from __future__ import annotations

import httpx
import pytest

from runtime.model.limits import Isolation
from runtime.model.run import Run, RunState
from runtime.model.run_query import RunFilter
from tests.unit.runtime.api.test_app import assert_problem
from tests.unit.runtime.fake_service import FakeService

LABELS = [{"team": "a", "n": "1"}, {"team": "b"}, {"team": "a"}]


def fill(service: FakeService) -> list[str]:
    """Three runs; their ids, the newest first."""
    for number, labels in enumerate(LABELS):
        run = Run(
            f"0000000{number}-x", "a", "p", Isolation.RUNC, RunState.COMPLETED, float(number), labels=labels
        )
        service.put(run)
    return [f"0000000{number}-x" for number in (2, 1, 0)]


async def test_pages_follow_one_another(api: httpx.AsyncClient, service: FakeService):
    """Until there is none; the labels are shown."""
    ids = fill(service)

    first = (await api.get("/v1/runs", params={"limit": 2})).json()

    assert [run["id"] for run in first["items"]] == ids[:2]
    assert [run["labels"] for run in first["items"]] == [{"team": "a"}, {"team": "b"}]
    assert first["next_cursor"]
    assert (await api.get("/v1/runs", params={"limit": 3})).json()["next_cursor"] is None


async def test_every_filter_reaches_the_service(api: httpx.AsyncClient, service: FakeService):
    """As it was given, and the cursor only with the same ones."""
    fill(service)
    asked = {
        "state": "completed",
        "agent": "a",
        "policy": "p",
        "label.team": "a",
        "label.n": "1",
        "created_after": "-1.5",
        "id_prefix": "0000000",
    }

    found = (await api.get("/v1/runs", params=asked)).json()

    assert [run["id"] for run in found["items"]] == ["00000000-x"]
    assert service.queries[-1].filter == RunFilter(
        state=RunState.COMPLETED,
        agent="a",
        policy="p",
        labels={"team": "a", "n": "1"},
        created_after=-1.5,
        id_prefix="0000000",
    )
    cursor = service.queries[-1].cursor(next(iter(service.runs.values())).summary())
    assert (await api.get("/v1/runs", params={**asked, "cursor": cursor})).status_code == 200
    body = assert_problem(
        await api.get("/v1/runs", params={**asked, "agent": "b", "cursor": cursor}), 400, "INVALID_INPUT"
    )
    assert body["param"] == "cursor"


@pytest.mark.parametrize(
    "asked",
    [{"agent": "none"}, {"state": "failed"}, {"label.team": ""}, {"created_after": "1e300"}],
    ids=repr,
)
async def test_a_filter_that_matches_nothing_gives_nothing(
    api: httpx.AsyncClient, service: FakeService, asked: dict[str, str]
):
    """And not all there is."""
    fill(service)

    assert (await api.get("/v1/runs", params=asked)).json() == {"items": [], "next_cursor": None}


WRONG = {
    "limit": "201",
    "cursor": "x" * 201,
    "state": "done",
    "agent": "a\0",
    "policy": "",
    "created_after": "nan",
    "id_prefix": "0b0e%",
    "label.team": "a\n",
    "label.TEAM": "a",
    "offset": "1",
    "labels": "team=a",
    "Agent": "a",
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_wrong_is_named(api: httpx.AsyncClient, service: FakeService, name: str):
    """400, and no list."""
    fill(service)

    body = assert_problem(await api.get("/v1/runs", params={name: WRONG[name]}), 400, "INVALID_INPUT")

    assert body["param"] == ("label.KEY" if name == "label.TEAM" else name)
    assert body["param"] in body["detail"]
    assert body["retryable"] is False
    assert service.queries == []
