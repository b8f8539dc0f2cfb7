"""A database of an older version keeps what is in it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from runtime.database import migrations
from runtime.database.connection import open_database
from runtime.model.json_text import JsonText
from runtime.model.limits import Isolation
from runtime.model.run import Run, RunError, RunState
from runtime.runs.store import Store

ERROR = RunError("SANDBOX_ERROR", "m", "code_error", 3)


def move(path: Path, revision: str, *, up: bool) -> None:
    """Bring a database to a revision."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        (command.upgrade if up else command.downgrade)(config, revision)
    engine.dispose()


def old_database(path: Path) -> None:
    """As the version with the vault left it: a run that ended and one that did not, with decisions."""
    move(path, "0002", up=True)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        rows = [
            ("done", "failed", 1.0, 2.0, json.dumps({"a": 1}), json.dumps(vars_of(ERROR)), "out", "err"),
            ("live", "running", 3.0, None, "null", "null", "", ""),
        ]
        connection.executemany(
            "INSERT INTO runs (id, agent_ref, policy_name, isolation, state, created_at, finished_at, result,"
            " error, stdout, stderr) VALUES (?, 'a', 'p', 'runc', ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        connection.execute("INSERT INTO decisions (run_id, line) VALUES ('done', '{\"n\": 1}')")


def vars_of(error: RunError) -> dict[str, object]:
    """An error as it is stored."""
    return {name: getattr(error, name) for name in ("code", "message", "error_class", "exit_code")}


async def test_an_older_database_keeps_its_runs(tmp_path: Path):
    """Results, logs and decisions are where they are read now; what did not end is ended as before."""
    path = tmp_path / "db"
    old_database(path)
    database = open_database(None, default=path)
    store = Store(database, owner="0" * 32)

    done = await store.get("done")
    ended = await store.fail_unfinished("the daemon ended")
    live = await store.get("live")
    await database.close()

    assert done == Run(
        "done",
        "a",
        "p",
        Isolation.RUNC,
        RunState.FAILED,
        1.0,
        None,
        2.0,
        JsonText(b'{"a": 1}'),
        ERROR,
        "out",
        "err",
    )
    assert (ended, live.state) == (1, RunState.FAILED)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT line FROM decisions").fetchall() == [('{"n": 1}',)]
        assert connection.execute("SELECT bytes FROM runs WHERE id = 'done'").fetchone()[0] >= 14


def test_every_migration_can_be_undone(tmp_path: Path):
    """Down to the first one and up again, the same run is there."""
    path = tmp_path / "db"
    old_database(path)
    move(path, "head", up=True)
    move(path, "0002", up=False)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("SELECT result, stdout, stderr FROM runs WHERE id = 'done'").fetchone()

    assert kept == ('{"a": 1}', "out", "err")
    move(path, "head", up=True)
