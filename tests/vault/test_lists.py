"""Lists of runs on both databases: right, stable, and by an index, whatever is asked for."""

from __future__ import annotations

import itertools
import json
import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from runtime.errors import InvalidInputError, NotFoundError
from runtime.model.limits import Isolation
from runtime.model.run import Run, RunState, RunSummary
from runtime.model.run_query import RunFilter, RunQuery
from runtime.runs import listing
from runtime.runs.records import Records
from runtime.runs.store import Store
from runtime.runs.tables import label_rows, summary_row
from runtime.runs.tables import labels as label_table
from runtime.runs.tables import runs as run_table
from tests.vault.places import Place

STATES = list(RunState)


def run(number: int, **more: Any) -> Run:
    """One of a colourful crowd; several are of the same moment."""
    values = {
        "id": str(uuid.UUID(int=(number * 0x9E3779B97F4A7C15) % (1 << 64) << 64, version=4)),
        "agent_ref": f"agent-{number % 3}",
        "policy_name": f"policy-{number % 2}",
        "isolation": Isolation.RUNC,
        "state": STATES[number % 3],
        "created_at": float(number // 4),
        "workspace": f"w{number % 2}",
        "labels": {"parity": str(number % 2), "five": str(number % 5)} if number % 7 else {},
    }
    return Run(**{**values, **more})


@pytest.fixture
async def store(place: Place) -> Store:
    """With sixty runs."""
    made = Store(place.open(), owner="0" * 32)
    for number in range(60):
        await made.create(run(number))
    return made


async def every(store: Store, which: RunFilter, limit: int) -> list[RunSummary]:
    """All pages of a list."""
    found: list[RunSummary] = []
    cursor = None
    while True:
        page = await store.page(RunQuery.read(limit, which, cursor))
        assert len(page.items) <= limit
        found += page.items
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


FILTERS = [
    RunFilter(),
    RunFilter(workspace="w1"),
    RunFilter(state=RunState.QUEUED),
    RunFilter(agent="agent-1"),
    RunFilter(policy="policy-0", agent="agent-2"),
    RunFilter(labels={"parity": "1"}),
    RunFilter(labels={"parity": "0", "five": "3"}),
    RunFilter(workspace="w0", labels={"five": "0"}, created_after=2.0),
    RunFilter(created_after=7.0),
    RunFilter(id_prefix="9e"),
    RunFilter(workspace="w0", id_prefix="9e"),
    RunFilter(workspace="elsewhere"),
    RunFilter(labels={"parity": "2"}),
    RunFilter(labels={"none": "1"}),
    RunFilter(agent="agent-9"),
    RunFilter(state=RunState.CANCELLED),
]


@pytest.mark.parametrize("limit", [1, 7, 200])
async def test_pages_are_the_whole_list_in_order(store: Store, limit: int):
    """Each run that fits, once, whatever the filter: as the filter itself has it, on every run there is."""
    crowd = sorted((run(n).summary() for n in range(60)), key=lambda r: (r.created_at, r.id), reverse=True)
    for which in FILTERS:
        assert await every(store, which, limit) == [each for each in crowd if which.takes(each)], which


async def test_a_list_is_stable_while_runs_are_added(store: Store):
    """What comes while somebody turns the pages is in front of them."""
    first = await store.page(RunQuery(20))
    for number in range(100, 130):
        await store.create(run(number))
    rest = await every_from(store, first.next_cursor)

    shown = [each.id for each in [*first.items, *rest]]
    assert len(shown) == len(set(shown)) == 60
    assert set(shown) == {run(number).id for number in range(60)}


async def every_from(store: Store, cursor: str | None) -> list[RunSummary]:
    """The pages behind a cursor."""
    found: list[RunSummary] = []
    while cursor is not None:
        page = await store.page(RunQuery.read(20, RunFilter(), cursor))
        found, cursor = found + page.items, page.next_cursor
    return found


async def test_seven_digits_name_a_run(place: Place):
    """In its workspace; several that begin so are an error, and one of another workspace is not there."""
    store = Store(place.open(), owner="0" * 32)
    records = Records(store)
    ids = {
        "one": "abcdef01-0000-4000-8000-000000000000",
        "two": "abcdef02-0000-4000-8000-000000000000",
        "apart": "abcdef03-0000-4000-8000-000000000000",
    }
    for name, run_id in ids.items():
        await store.create(run(1, id=run_id, workspace="other" if name == "apart" else "mine"))

    assert (await records.find("abcdef01", "mine")).id == ids["one"]
    assert (await records.find("abcdef03", None)).id == ids["apart"]
    assert (await records.find(ids["two"], None)).id == ids["two"]
    assert (await records.find("abcdef0", "other")).id == ids["apart"]
    for workspace in ("mine", None):
        with pytest.raises(InvalidInputError, match="more than one run") as told:
            await records.find("abcdef0", workspace)
        assert told.value.param == "run_id"
    for ref, workspace in (
        ("abcdef", "mine"),
        ("abcdef03", "mine"),
        (ids["apart"], "mine"),
        ("abcdef0%", None),
        ("abcdef\0", None),
        ("", None),
    ):
        with pytest.raises(NotFoundError):
            await records.find(ref, workspace)


async def test_labels_go_with_their_run(store: Store):
    """What is pruned is found by nothing any more."""
    for number in range(60):
        await store.update(run(number, state=RunState.FAILED, finished_at=1.0))

    assert (await store.prune(2.0, 1 << 40, is_dry=False))[0] == 60
    assert await store._rows(sa.select(label_table)) == []


# -- by an index ---------------------------------------------------------------------------------------


async def crowd(store: Store, count: int) -> None:
    """Many runs at once, whose sizes a planner looks at."""
    made = [run(number, created_at=float(number)) for number in range(1000, 1000 + count)]

    def work(connection: sa.Connection) -> None:
        for some in itertools.batched(made, 1000):
            connection.execute(
                run_table.insert(), [{**summary_row(each), "owner": "0" * 32} for each in some]
            )
            found_by = [row for each in some for row in label_rows(each)]
            connection.execute(label_table.insert(), found_by)
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("ANALYZE"))

    await store._database.write(work)


async def plan_of(store: Store, statement: sa.Select[Any]) -> str:
    """How the database goes about it, on one line for each step.

    PostgreSQL sorts the few rows that are left behind a cursor of such a small table; told not to, it shows
    whether it would have to with many.
    """

    def explain(connection: sa.Connection) -> str:
        dialect = connection.dialect
        compiled = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        if dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")
            return "\n".join(row.detail for row in rows)
        connection.exec_driver_sql("SET LOCAL enable_sort = off")
        [[shown]] = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {str(compiled).replace('%', '%%')}")
        return json.dumps(shown)

    return await store._database.read(explain)


SCANS = ("SCAN runs", "USE TEMP B-TREE FOR ORDER BY", '"Seq Scan"', '"Sort"')
"""A walk through all rows, or a sort of all that were found; a scan in an index's order names the index."""


def is_walked_in_order(plan: str) -> bool:
    """Whether every step is an index's."""
    steps = [line for line in plan.split("\n") if "USING" not in line or "TEMP" in line]
    return not any(scan in step for scan in SCANS for step in steps)


LISTS = {
    "all": RunFilter(),
    "a workspace": RunFilter(workspace="w1"),
    "a state": RunFilter(state=RunState.QUEUED),
    "a state of no run": RunFilter(state=RunState.TIMEOUT),
    "an agent": RunFilter(agent="agent-1"),
    "a policy": RunFilter(policy="policy-1"),
    "a time": RunFilter(created_after=2500.0),
    "a label": RunFilter(labels={"five": "3"}),
    "a label of no run": RunFilter(labels={"five": "9"}),
    "a workspace and a label": RunFilter(workspace="w1", labels={"parity": "1"}),
}


async def test_every_list_walks_an_index(place: Place):
    """The first page and one in the middle; no row is read that is not shown, and nothing is sorted."""
    store = Store(place.open(), owner="0" * 32)
    await crowd(store, 5000)
    for name, which in LISTS.items():
        for cursor in (None, RunQuery(9, which).cursor(run(3000, created_at=3000.0).summary())):
            plan = await plan_of(store, listing.page(RunQuery.read(100, which, cursor)))
            assert is_walked_in_order(plan), (name, plan)


async def test_a_run_is_named_by_an_index(place: Place):
    """Its first digits are a range of the primary key."""
    store = Store(place.open(), owner="0" * 32)
    await crowd(store, 5000)
    plan = await plan_of(store, listing.named(run(1234).id[:7], None))

    assert "autoindex_runs_1" in plan or "runs_pkey" in plan, plan


async def test_a_list_without_its_index_is_noticed(place: Place):
    """The check above can fail."""
    store = Store(place.open(), owner="0" * 32)
    await crowd(store, 5000)
    await store._database.write(lambda connection: connection.execute(sa.text("DROP INDEX runs_in_order")))

    assert not is_walked_in_order(await plan_of(store, listing.page(RunQuery(100))))
