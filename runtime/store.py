"""Where runs are recorded: SQLAlchemy over SQLite (WAL) in ORCHBOX_HOME. No secret ever gets here.

SQLAlchemy's calls block, so each runs in a thread of one worker: SQLite has one writer anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError

from runtime.errors import OrchError
from runtime.json_value import writable
from runtime.model import Isolation, Run, RunError, RunState
from runtime.ports import DecisionLine

MAX_DECISIONS_PER_RUN = 10_000
"""Kept of one run; the proxy's own log has them all."""

_metadata = sa.MetaData()
_runs = sa.Table(
    "runs",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    *(
        sa.Column(name, sa.Text)
        for name in ("agent_ref", "policy_name", "isolation", "state", "stdout", "stderr")
    ),
    *(sa.Column(name, sa.Float) for name in ("created_at", "started_at", "finished_at")),
    *(sa.Column(name, sa.JSON) for name in ("result", "error")),
)
_decisions = sa.Table(
    "decisions",
    _metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.Text),
    sa.Column("line", sa.JSON),
)
_UNFINISHED = [state.value for state in RunState if not state.is_final]


class Store:
    """Implements `ports.StorePort`."""

    def __init__(self, path: Path) -> None:
        """Open or create the database and bring it to the newest revision.

        Raises OrchError naming the file when it cannot be used.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._counts: dict[str, int] = {}
        try:
            _make_private(path)
            self._engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)))
            sa.event.listen(self._engine, "connect", _set_pragmas)
            with self._engine.begin() as connection:
                _migrate(connection)
        except (OSError, sa.exc.SQLAlchemyError, CommandError) as exc:
            self._thread.shutdown()
            with contextlib.suppress(AttributeError):
                self._engine.dispose()
            raise OrchError(
                f"{path}: the run database cannot be used ({type(exc).__name__})",
                hint="check the folder's rights and free space, or move the file away"
                " (one written by a newer Orchbox is refused)",
            ) from exc

    async def close(self) -> None:
        """Close the database."""
        await self._call(self._engine.dispose)
        self._thread.shutdown()

    async def create(self, run: Run) -> None:
        """Record a new run."""
        await self._execute(_runs.insert().values(**_to_row(run)))

    async def update(self, run: Run) -> None:
        """Record a run's new state."""
        await self._execute(_runs.update().where(_runs.c.id == run.id).values(**_to_row(run)))
        if run.state.is_final:
            self._counts.pop(run.id, None)

    async def get(self, run_id: str) -> Run | None:
        """A run by id, or None."""
        rows = await self._rows(sa.select(_runs).where(_runs.c.id == run_id))
        return _to_run(rows[0]) if rows else None

    async def recent(self, limit: int) -> list[Run]:
        """The newest runs first."""
        rows = await self._rows(sa.select(_runs).order_by(_runs.c.created_at.desc()).limit(limit))
        return [_to_run(row) for row in rows]

    async def fail_unfinished(self, reason: str) -> int:
        """Mark what a dead daemon left unfinished; how many."""
        error = dataclasses.asdict(RunError("INTERNAL_ERROR", reason))
        values = {"state": RunState.FAILED.value, "error": error, "finished_at": time.time()}
        return await self._execute(_runs.update().where(_runs.c.state.in_(_UNFINISHED)).values(**values))

    async def add_decision(self, run_id: str, line: DecisionLine) -> None:
        """Record one decision, up to a bound per run."""
        count = self._counts[run_id] = self._counts.get(run_id, 0) + 1
        if count <= MAX_DECISIONS_PER_RUN:
            await self._execute(_decisions.insert().values(run_id=run_id, line=line))

    async def decisions(self, run_id: str) -> list[DecisionLine]:
        """A run's decisions in order."""
        query = sa.select(_decisions.c.line).where(_decisions.c.run_id == run_id).order_by(_decisions.c.seq)
        return [dict(row["line"]) for row in await self._rows(query)]

    async def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, functools.partial(function, *args))

    async def _execute(self, statement: sa.Executable) -> int:
        def run() -> int:
            with self._engine.begin() as connection:
                return int(connection.execute(statement).rowcount)

        return int(await self._call(run))

    async def _rows(self, statement: sa.Executable) -> list[Any]:
        def run() -> list[Any]:
            with self._engine.connect() as connection:
                return list(connection.execute(statement).mappings())

        return list(await self._call(run))


def _make_private(path: Path) -> None:
    """The file with its owner's rights from the start: SQLite gives its journals the same ones."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)


def _set_pragmas(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")


def _migrate(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _to_row(run: Run) -> dict[str, object]:
    row = {field.name: getattr(run, field.name) for field in dataclasses.fields(run)}
    row["isolation"], row["state"] = run.isolation.value, run.state.value
    row["result"] = writable(run.result, run.stdout)
    row["error"] = dataclasses.asdict(run.error) if run.error else None
    return row


def _to_run(row: Any) -> Run:
    values = dict(row)
    values["isolation"], values["state"] = Isolation(values["isolation"]), RunState(values["state"])
    values["error"] = RunError(**values["error"]) if values["error"] else None
    return Run(**values)
