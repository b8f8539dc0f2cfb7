"""The run database: what is written is read, also by the next daemon; broken files are one clear error."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from runtime.database.connection import open_database
from runtime.errors import OrchError
from runtime.model.json_text import JsonText
from runtime.model.limits import Isolation
from runtime.model.run import Run, RunError, RunState
from runtime.model.run_query import RunQuery
from runtime.runs import store as store_module
from runtime.runs import tables
from runtime.runs.store import Store
from runtime.runs.tables import installations, runs

OURS, THEIRS = "0" * 32, "f" * 32


def run(number: int = 1, **more) -> Run:
    """A run."""
    fields = {"agent_ref": "a", "policy_name": "p", "isolation": Isolation.RUNC, "state": RunState.QUEUED}
    return Run(**{"id": f"run-{number}", "created_at": float(number), **fields, **more})


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A fresh database."""
    database = open_database(None, default=tmp_path / "home" / "orchbox.sqlite3")
    yield Store(database, owner=OURS)
    await database.close()


async def test_run_is_read_as_written(store: Store):
    """Every field survives."""
    full = run(
        state=RunState.FAILED,
        started_at=2.0,
        finished_at=3.0,
        result=JsonText.of({"a": [1, None, "é"]}),
        error=RunError("SANDBOX_ERROR", "m", "code_error", 3),
        stdout="o",
        stderr="e\0\ud800"[:2],
    )
    await store.create(run())
    await store.update(full)

    assert await store.get("run-1") == full
    assert await store.get("run-2") is None


async def test_recent_is_newest_first_and_bounded(store: Store):
    """The newest come first, no more than asked for."""
    for number in (1, 3, 2):
        await store.create(run(number))

    assert [found.id for found in (await store.page(RunQuery(2))).items] == ["run-3", "run-2"]


async def test_unfinished_runs_are_failed(store: Store):
    """What a dead daemon left gets an end and a reason; finished runs stay."""
    await store.create(run(1, state=RunState.RUNNING))
    await store.create(run(2, state=RunState.COMPLETED, finished_at=5.0))

    assert await store.fail_unfinished("the daemon ended") == 1
    left, done = await store.get("run-1"), await store.get("run-2")

    assert (left.state, left.error.message) == (RunState.FAILED, "the daemon ended")
    assert left.finished_at is not None
    assert (done.state, done.finished_at) == (RunState.COMPLETED, 5.0)


async def test_anotherinstallations_runs_go_on(store: Store):
    """A daemon that shares the database ends no run of another one, whatever its state."""
    theirs = Store(store._database, owner=THEIRS)
    for number, state in enumerate((RunState.QUEUED, RunState.STARTING, RunState.RUNNING)):
        await theirs.create(run(number, state=state))
    await theirs.fail_abandoned("gone")
    await store.create(run(9, state=RunState.RUNNING))

    assert await store.fail_unfinished("the daemon ended") == 1
    assert await store.fail_abandoned("gone") == 0
    states = [(await store.get(f"run-{number}")).state.value for number in (0, 1, 2, 9)]
    assert states == ["queued", "starting", "running", "failed"]


async def test_an_installation_that_is_gone_leaves_no_run_unfinished(store: Store):
    """After a day without a sign of it, or without any, its runs are failed by the next daemon."""
    theirs, nobodys = Store(store._database, owner=THEIRS), Store(store._database, owner="e" * 32)
    await theirs.create(run(1, state=RunState.RUNNING))
    await theirs.fail_abandoned("gone")
    await nobodys.create(run(2, state=RunState.RUNNING))
    await store.create(run(3, state=RunState.RUNNING))

    assert await store.fail_abandoned("gone") == 1
    days_ago = installations.update().where(installations.c.id == THEIRS).values(seen_at=time.time() - 1e5)
    await store._execute(days_ago)
    assert await store.fail_abandoned("gone") == 1
    states = [(await store.get(f"run-{number}")).state.value for number in (1, 2, 3)]
    assert states == ["failed", "failed", "running"]


async def test_an_older_versions_unfinished_run_is_failed(store: Store):
    """It names no installation: the daemon that ran it had the database for itself."""
    await Store(store._database, owner=None).create(run(1, state=RunState.RUNNING))

    assert await store.fail_unfinished("the daemon ended") == 1


@pytest.mark.parametrize("result", ["x" * 3_000_000, [[]] * 500_000, {"k": "\u00fc" * 500_000}])
async def test_a_list_reads_no_output(store: Store, result: object, monkeypatch: pytest.MonkeyPatch):
    """However large the results are: not a column of theirs is asked for, nor parsed, nor kept."""
    for number in range(3):
        await store.create(run(number))
        await store.update(run(number, state=RunState.COMPLETED, result=JsonText.of(result), stderr="log"))
    asked: list[str] = []
    parsed: list[int] = []
    loads = json.loads

    def note(text: str, **more) -> object:
        parsed.append(len(text))
        return loads(text, **more)

    def listen(_c, _cursor, statement: str, *_more) -> None:
        asked.append(statement)

    sa.event.listen(store._database._engine, "before_cursor_execute", listen)
    monkeypatch.setattr(json, "loads", note)
    found = (await store.page(RunQuery(200))).items

    assert [each.id for each in found] == ["run-2", "run-1", "run-0"]
    [statement] = [text for text in asked if "SELECT" in text]
    assert "run_outputs" not in statement
    assert not any(name in statement for name in ("result", "stdout", "stderr", "decisions.line"))
    assert sum(parsed) < 1000
    assert not hasattr(found[0], "result")


async def test_a_run_says_what_it_takes_and_what_was_left_out(store: Store, monkeypatch: pytest.MonkeyPatch):
    """Its bytes are those of its output and of its decisions; those beyond the bound are counted."""
    monkeypatch.setattr(store_module, "MAX_DECISIONS_PER_RUN", 2)
    await store.create(run(1))
    for number in range(5):
        await store.add_decision("run-1", {"n": number})
    result = JsonText.of("r" * 100)
    await store.update(run(1, state=RunState.COMPLETED, result=result, stdout="o" * 10, stderr="e" * 10))

    [row] = await store._rows(sa.select(runs.c.bytes))
    assert row["bytes"] == 102 + 20 + 2 * len('{"n": 0}')
    assert (await store.get("run-1")).omitted_decisions == 3
    assert (await store.page(RunQuery(1))).items[0].omitted_decisions == 3
    assert store._decisions == {}


async def test_an_end_that_is_written_twice_is_one(store: Store):
    """An attempt that failed after it was done is repeated."""
    done = run(1, state=RunState.COMPLETED, result=JsonText(b"1"), stdout="o")
    await store.create(run(1))
    for _ in range(2):
        await store.update(done)

    assert await store.get("run-1") == done


async def ended(
    store: Store, number: int, finished_at: float, result: JsonText | None = None, **more: object
) -> None:
    """A run that has ended, with a decision."""
    await store.create(run(number))
    await store.add_decision(f"run-{number}", {"n": number})
    values = {"state": RunState.COMPLETED, "finished_at": finished_at, "result": result, **more}
    await store.update(run(number, **values))


async def ids(store: Store) -> set[str]:
    """The runs that there are."""
    return {found.id for found in (await store.page(RunQuery(10_000))).items}


@pytest.mark.parametrize("is_dry", [True, False])
async def test_old_runs_are_pruned_with_all_they_have(store: Store, *, is_dry: bool):
    """By the time of their end; what has not ended stays however old it is."""
    await ended(store, 1, finished_at=10.0)
    await ended(store, 2, finished_at=99.0, state=RunState.FAILED)
    await ended(store, 3, finished_at=100.0)
    for number, state in ((4, RunState.QUEUED), (5, RunState.STARTING), (6, RunState.RUNNING)):
        await store.create(run(number, created_at=1.0, state=state))
        await store.add_decision(f"run-{number}", {"n": number})

    count, size = await store.prune(100.0, 1 << 40, is_dry=is_dry)

    assert count == 2
    assert size > 2 * store_module.ROW_BYTES
    gone = set() if is_dry else {"run-1", "run-2"}
    assert await ids(store) == {f"run-{n}" for n in range(1, 7)} - gone
    left = await store._rows(sa.select(tables.decisions.c.run_id))
    assert {row["run_id"] for row in left} == {f"run-{n}" for n in range(1, 7)} - gone
    left = await store._rows(sa.select(tables.outputs.c.run_id))
    assert {row["run_id"] for row in left} == {"run-1", "run-2", "run-3"} - gone


@pytest.mark.parametrize("room", [0, 1, 2])
async def test_the_oldest_go_beyond_a_size(store: Store, room: int):
    """The newest are kept as far as there is room; results and decisions count."""
    for number in range(3):
        await ended(store, number, finished_at=100.0 + number, result=JsonText.of("x" * 10_000))
    await store.create(run(9, state=RunState.RUNNING))

    await store.prune(0.0, room * 12_000 + 500, is_dry=False)

    assert await ids(store) == {"run-9", *[f"run-{n}" for n in range(3)][3 - room :]}


async def test_many_runs_are_pruned_in_small_steps(store: Store, monkeypatch: pytest.MonkeyPatch):
    """Other work comes between: no transaction removes more than a number and a size."""
    monkeypatch.setattr(store_module, "PRUNED_AT_ONCE", 3)
    monkeypatch.setattr(store_module, "PRUNED_BYTES_AT_ONCE", 10_000)
    steps: list[list[str]] = []
    remove = store_module._remove

    def note(connection: sa.Connection, *, run_ids: list[str]) -> None:
        steps.append(run_ids)
        remove(connection, run_ids=run_ids)

    monkeypatch.setattr(store_module, "_remove", note)
    for number in range(10):
        result = JsonText.of("x" * (9_000 if number == 9 else 1))
        await ended(store, number, finished_at=float(number), result=result)

    assert (await store.prune(1e9, 1 << 40, is_dry=False))[0] == 10
    assert [len(step) for step in steps] == [1, 3, 3, 3]
    assert await ids(store) == set()


async def test_decisions_keep_their_order_and_bound(store: Store, monkeypatch: pytest.MonkeyPatch):
    """Decisions are kept in order, up to a bound per run."""
    monkeypatch.setattr(store_module, "MAX_DECISIONS_PER_RUN", 2)
    await store.create(run(1))
    await store.create(run(2))
    for number in range(3):
        await store.add_decision("run-1", {"n": number})
    await store.add_decision("run-2", {"n": 9})

    assert await store.decisions("run-1") == [{"n": 0}, {"n": 1}]
    assert await store.decisions("run-2") == [{"n": 9}]
    assert await store.decisions("run-3") == []


async def test_next_daemon_reads_what_the_last_one_wrote(tmp_path: Path):
    """Opening again migrates nothing away."""
    path = tmp_path / "db"
    first = open_database(None, default=path)
    await Store(first, owner=OURS).create(run())
    await first.close()
    second = open_database(None, default=path)

    assert await Store(second, owner=OURS).get("run-1") == run()
    await second.close()


async def test_files_are_the_owners_alone(store: Store, tmp_path: Path):
    """Database and journals are readable by nobody else, and WAL is on."""
    await store.create(run())
    folder = tmp_path / "home"
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}

    assert folder.stat().st_mode & 0o777 == 0o700
    assert set(modes.values()) == {0o600}
    assert "orchbox.sqlite3-wal" in modes


async def test_loosened_rights_are_taken_back(tmp_path: Path):
    """A database that others could read is closed to them at start."""
    path = tmp_path / "db"
    path.touch(0o644)
    path.chmod(0o644)
    found = open_database(None, default=path)

    assert path.stat().st_mode & 0o777 == 0o600
    await found.close()


def broken(path: Path, case: str) -> None:
    """Make the file unusable."""
    if case == "no database":
        path.write_text("this is no database, by far")
    elif case == "a folder":
        path.mkdir()
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("create table alembic_version (version_num varchar(32))")
            connection.execute("insert into alembic_version values ('9999')")
        connection.close()


@pytest.mark.parametrize("case", ["no database", "a folder", "a newer version"])
def test_unusable_file_is_named(tmp_path: Path, case: str):
    """A file that cannot be used is one error with its path and a remedy."""
    path = tmp_path / "db"
    broken(path, case)

    with pytest.raises(OrchError, match="database cannot be used") as told:
        open_database(None, default=path)

    assert str(path) in told.value.message
    assert told.value.hint


async def test_store_never_sees_a_secret():
    """A run's record has no field that could hold one."""
    names = {field.name for field in dataclasses.fields(Run)}

    assert not names & {"secrets", "env", "request", "input"}
