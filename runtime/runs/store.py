"""Where runs are recorded, in the daemon's database. No secret ever gets here."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, cast

import sqlalchemy as sa

from proxy.contract.decision_line import DecisionLine
from runtime.database.connection import Database
from runtime.errors import InternalError
from runtime.model.json_value import writable
from runtime.model.limits import Isolation
from runtime.model.run import Run, RunError, RunState

MAX_DECISIONS_PER_RUN = 10_000
"""Kept of one run; the proxy's own log has them all."""

_any_text = sa.Text().with_variant(sa.JSON(), "postgresql")
"""What an agent wrote may hold NUL, which only PostgreSQL's JSON can carry."""
_metadata = sa.MetaData()
_runs = sa.Table(
    "runs",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    *(sa.Column(name, sa.Text) for name in ("agent_ref", "policy_name", "isolation", "state")),
    *(sa.Column(name, _any_text) for name in ("stdout", "stderr")),
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
    """Runs and their decisions in the database; implements `runs.ports.StorePort`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[str, int] = {}

    async def create(self, run: Run) -> None:
        """Record a run that has just been accepted."""
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
        """List the records of the newest runs, the newest first."""
        rows = await self._rows(sa.select(_runs).order_by(_runs.c.created_at.desc()).limit(limit))
        return [_to_run(row) for row in rows]

    async def fail_unfinished(self, reason: str) -> int:
        """Mark what a dead daemon left unfinished; how many."""
        error = dataclasses.asdict(RunError(InternalError.code, reason))
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
        return [cast("DecisionLine", row["line"]) for row in await self._rows(query)]

    async def _execute(self, statement: sa.Executable) -> int:
        return await self._database.write(lambda connection: int(connection.execute(statement).rowcount))

    async def _rows(self, statement: sa.Executable) -> list[Any]:
        return await self._database.read(lambda connection: list(connection.execute(statement).mappings()))


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
