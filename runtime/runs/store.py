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
ABANDONED_S = 24 * 3600.0
"""An installation that has not been at work for so long does not come back for its runs."""

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
    sa.Column("owner", sa.Text),
)
_installations = sa.Table(
    "installations",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("seen_at", sa.Float),
)
_decisions = sa.Table(
    "decisions",
    _metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.Text),
    sa.Column("line", sa.JSON),
)
_RUN = [column for column in _runs.c if column.name != "owner"]
_UNFINISHED = [state.value for state in RunState if not state.is_final]


class Store:
    """Runs and their decisions in the database; implements `runs.ports.StorePort`."""

    def __init__(self, database: Database, *, owner: str) -> None:
        """`owner` is the installation (`runtime.daemon.installation`) whose runs are recorded here."""
        self._database = database
        self._owner = owner
        self._counts: dict[str, int] = {}

    async def create(self, run: Run) -> None:
        """Record a run that has just been accepted."""
        await self._execute(_runs.insert().values(**_to_row(run), owner=self._owner))

    async def update(self, run: Run) -> None:
        """Record a run's new state."""
        await self._execute(_runs.update().where(_runs.c.id == run.id).values(**_to_row(run)))
        if run.state.is_final:
            self._counts.pop(run.id, None)

    async def get(self, run_id: str) -> Run | None:
        """A run by id, or None."""
        rows = await self._rows(sa.select(*_RUN).where(_runs.c.id == run_id))
        return _to_run(rows[0]) if rows else None

    async def recent(self, limit: int) -> list[Run]:
        """List the records of the newest runs, the newest first."""
        rows = await self._rows(sa.select(*_RUN).order_by(_runs.c.created_at.desc()).limit(limit))
        return [_to_run(row) for row in rows]

    async def fail_unfinished(self, reason: str) -> int:
        """Mark what a dead daemon of this installation left unfinished as failed; how many.

        An older version's runs name no installation; they are of a daemon that had the database for itself.
        """
        return await self._fail(sa.or_(_runs.c.owner == self._owner, _runs.c.owner.is_(None)), reason)

    async def fail_abandoned(self, reason: str) -> int:
        """Note that this installation is at work, and fail what those left that have long not been; how many.

        A home that is lost, or a host that is gone, would leave its runs unfinished for ever.
        """
        now = time.time()
        await self._execute(_installations.delete().where(_installations.c.id == self._owner))
        await self._execute(_installations.insert().values(id=self._owner, seen_at=now))
        at_work = sa.select(_installations.c.id).where(_installations.c.seen_at > now - ABANDONED_S)
        return await self._fail(_runs.c.owner.not_in(at_work), reason)

    async def _fail(self, which: sa.ColumnElement[bool], reason: str) -> int:
        error = dataclasses.asdict(RunError(InternalError.code, reason))
        values = {"state": RunState.FAILED.value, "error": error, "finished_at": time.time()}
        unfinished = _runs.c.state.in_(_UNFINISHED)
        return await self._execute(_runs.update().where(unfinished, which).values(**values))

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
