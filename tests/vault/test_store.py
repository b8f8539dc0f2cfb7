"""The run store on both databases: what an agent wrote comes back as it was."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from runtime.access import tables as access_tables
from runtime.idempotency import tables as idempotency_tables
from runtime.model.json_text import JsonText
from runtime.model.limits import Isolation
from runtime.model.run import Run, RunError, RunState
from runtime.model.run_query import RunQuery
from runtime.runs import tables as run_tables
from runtime.runs.store import Store
from runtime.vault import tables
from tests.vault.places import Place

OURS = "0" * 32


def run(number: int = 1, **more) -> Run:
    """A run."""
    fields = {"agent_ref": "a", "policy_name": "p", "isolation": Isolation.RUNC, "state": RunState.RUNNING}
    return Run(**{"id": f"run-{number}", "created_at": float(number), **fields, **more})


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    """A fresh one."""
    return Store(place.open(), owner=OURS)


async def test_run_is_read_as_written(store: Store, place: Place):
    """Every field survives, NUL and halves of surrogate pairs in a result too; the next daemon reads it."""
    full = run(
        state=RunState.FAILED,
        started_at=1_700_000_000.123456,
        finished_at=3.0,
        result=JsonText.of({"a": [1, None, "é\0\ud800", 10**30, 1.5]}),
        error=RunError("SANDBOX_ERROR", "m\0", "code_error", 3),
        stdout="o\0é\U0001f511",
        stderr="'; drop table runs; --",
        labels={"team": "Suche \u00fc", "empty": ""},
    )
    await store.create(run(labels=full.labels))
    await store.update(full)

    assert await store.get("run-1") == full
    assert (await Store(place.open(), owner=OURS).page(RunQuery(5))).items == [full.summary()]


async def test_unfinished_runs_are_failed(store: Store):
    """What a dead daemon left gets an end; finished runs stay."""
    await store.create(run(1))
    await store.create(run(2, state=RunState.COMPLETED))

    assert await store.fail_unfinished("the daemon ended") == 1
    assert [found.state for found in (await store.page(RunQuery(9))).items] == [
        RunState.COMPLETED,
        RunState.FAILED,
    ]


async def test_another_installations_runs_go_on(store: Store, place: Place):
    """A daemon that shares the database ends only its own runs, and those of one that is long gone."""
    theirs = Store(place.open(), owner="f" * 32)
    await theirs.create(run(1))
    await theirs.fail_abandoned("gone")
    await Store(place.open(), owner="e" * 32).create(run(2))

    assert await store.fail_unfinished("the daemon ended") == 0
    assert await store.fail_abandoned("gone") == 1
    assert [found.state for found in (await store.page(RunQuery(9))).items] == [
        RunState.FAILED,
        RunState.RUNNING,
    ]


async def test_decisions_keep_their_order(store: Store):
    """As they were added."""
    await store.create(run())
    for number in range(20):
        await store.add_decision("run-1", {"n": number, "path": "\0"})

    assert [line["n"] for line in await store.decisions("run-1")] == list(range(20))


async def test_the_tables_are_what_the_code_thinks(place: Place):
    """Migrations and code name the same columns."""
    made = await place.open().read(
        lambda c: {
            t: {col["name"] for col in sa.inspect(c).get_columns(t)} for t in sa.inspect(c).get_table_names()
        }
    )
    thought = {
        **run_tables.metadata.tables,
        **tables.metadata.tables,
        **access_tables.metadata.tables,
        **idempotency_tables.metadata.tables,
    }

    assert {name: {column.name for column in table.c} for name, table in thought.items()} == {
        name: columns for name, columns in made.items() if name != "alembic_version"
    }


async def test_old_runs_are_pruned(store: Store):
    """With their output and decisions, by age and by size; what has not ended stays."""
    for number in range(3):
        await store.create(run(number))
        await store.add_decision(f"run-{number}", {"n": number})
        await store.update(
            run(number, state=RunState.COMPLETED, finished_at=100.0 + number, result=JsonText.of("x" * 5000))
        )
    await store.create(run(9))

    assert (await store.prune(101.0, 1 << 40, is_dry=True))[0] == 1
    assert (await store.prune(101.0, 1 << 40, is_dry=False))[0] == 1
    assert (await store.prune(0.0, 8000, is_dry=False))[0] == 1
    assert {found.id for found in (await store.page(RunQuery(9))).items} == {"run-2", "run-9"}
    assert await store.decisions("run-1") == []


@pytest.mark.parametrize(
    "text", [b"1.0", b"12345678901234567890123", b'{"a":[1.50,"\\u0000\\ud800"]}', b'""', b"[ ]"]
)
async def test_a_result_is_stored_to_the_byte(store: Store, text: bytes):
    """Nobody reads it on the way."""
    full = run(state=RunState.COMPLETED, finished_at=3.0, result=JsonText(text))
    await store.create(run())
    await store.update(full)

    assert await store.get("run-1") == full


async def test_what_an_older_daemon_recorded_is_read(store: Store, place: Place):
    """Its results were written as values, and this one's can be read as values again."""
    await store.create(run(state=RunState.COMPLETED))
    old = sa.table("run_outputs", sa.column("run_id"), sa.column("result", sa.JSON))
    database = place.open()
    await database.write(lambda c: c.execute(old.update().values(result={"a": [1, "\0"]})))

    assert (await store.get("run-1")).result.parse() == {"a": [1, "\0"]}
    await store.update(run(state=RunState.COMPLETED, result=JsonText(b'{"b":2}')))
    assert await database.read(lambda c: c.execute(sa.select(old.c.result)).scalar_one()) == {"b": 2}


async def test_what_is_no_json_is_not_stored_by_a_server(store: Store, place: Place):
    """PostgreSQL looks at it; in SQLite the daemon has looked at it before (`json_check`)."""
    if place.open().is_sqlite:
        return
    await store.create(run())
    with pytest.raises(sa.exc.DataError):
        await store.update(run(state=RunState.COMPLETED, result=JsonText(b"[1")))
