"""Where runs are recorded, in the daemon's database. No secret ever gets here."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Collection, Iterator
from typing import Any, cast

import sqlalchemy as sa

from proxy.contract.decision_line import DecisionLine
from runtime.database.connection import Database
from runtime.errors import InternalError
from runtime.model.run import Run, RunError, RunState, RunSummary
from runtime.model.run_query import RunPage, RunQuery
from runtime.runs import listing
from runtime.runs.ports import Also
from runtime.runs.tables import (
    WHOLE,
    decisions,
    installations,
    label_rows,
    labels,
    output_row,
    outputs,
    runs,
    summary_row,
    to_run,
    to_summary,
)

MAX_DECISIONS_PER_RUN = 10_000
"""Kept of one run; the proxy's own log has them all."""
ABANDONED_S = 24 * 3600.0
"""An installation that has not been at work for so long does not come back for its runs."""
ROW_BYTES = 1024
"""Counted for a run beside its output and its decisions."""
PRUNED_AT_ONCE, PRUNED_BYTES_AT_ONCE = 100, 64 << 20
"""In one transaction."""
_UNFINISHED = [state.value for state in RunState if not state.is_final]


@dataclasses.dataclass(slots=True)
class _Decisions:
    """Those of one run that lives."""

    count: int = 0
    size: int = 0
    """Bytes of those that are kept."""


class Store:
    """Runs and their decisions in the database; implements `runs.ports.StorePort`."""

    def __init__(self, database: Database, *, owner: str) -> None:
        """`owner` is the installation (`runtime.daemon.installation`) whose runs are recorded here."""
        self._database = database
        self._owner = owner
        self._decisions: dict[str, _Decisions] = {}

    async def create(self, run: Run, also: Also | None = None) -> None:
        """Record a run that has just been accepted, and what `also` writes, both or neither."""

        def work(connection: sa.Connection) -> None:
            connection.execute(runs.insert().values(**summary_row(run), owner=self._owner))
            if found_by := label_rows(run):
                connection.execute(labels.insert(), found_by)
            if also is not None:
                also(connection, run)

        await self._database.write(work)
        if run.state.is_final:
            await self.update(run)
        else:
            self._decisions[run.id] = _Decisions()

    async def update(self, run: Run) -> None:
        """Record a run's new state; what the agent wrote is recorded with its end."""
        seen = self._decisions.get(run.id, _Decisions())

        def work(connection: sa.Connection) -> None:
            values = summary_row(run)
            if run.state.is_final:
                output, size = output_row(run)
                connection.execute(outputs.delete().where(outputs.c.run_id == run.id))
                connection.execute(outputs.insert().values(**output))
                omitted = run.omitted_decisions + max(0, seen.count - MAX_DECISIONS_PER_RUN)
                values |= {"bytes": size + seen.size, "omitted_decisions": omitted}
            connection.execute(runs.update().where(runs.c.id == run.id).values(**values))

        await self._database.write(work)
        if run.state.is_final:
            self._decisions.pop(run.id, None)

    async def get(self, run_id: str) -> Run | None:
        """A run by id, or None."""
        joined = sa.outerjoin(runs, outputs, outputs.c.run_id == runs.c.id)
        rows = await self._rows(sa.select(*WHOLE).select_from(joined).where(runs.c.id == run_id))
        return to_run(rows[0]) if rows else None

    async def named(self, ref: str, workspace: str | None) -> list[RunSummary]:
        """The run of an id, or those whose ids begin so: two at most, of one workspace or of all."""
        return [to_summary(row) for row in await self._rows(listing.named(ref, workspace))]

    async def page(self, query: RunQuery) -> RunPage:
        """A page of a list, the newest first, without reading what the agents wrote."""
        found = [to_summary(row) for row in await self._rows(listing.page(query))]
        items = found[: query.limit]
        return RunPage(items, query.cursor(items[-1]) if len(found) > query.limit else None)

    async def adopt(self, run_id: str) -> int:
        """Go on with a run that an earlier daemon began; how many of its decisions are recorded."""
        lines = await self.decisions(run_id)
        self._decisions[run_id] = _Decisions(len(lines), sum(len(json.dumps(line)) for line in lines))
        return len(lines)

    async def fail_unfinished(self, reason: str, *, but: Collection[str] = ()) -> int:
        """Mark what a dead daemon of this installation left unfinished as failed, but for these; how many.

        An older version's runs name no installation; they are of a daemon that had the database for itself.
        """
        ours = sa.or_(runs.c.owner == self._owner, runs.c.owner.is_(None))
        return await self._fail(sa.and_(ours, runs.c.id.not_in(but)), reason)

    async def fail_abandoned(self, reason: str) -> int:
        """Note that this installation is at work, and fail what those left that have long not been; how many.

        A home that is lost, or a host that is gone, would leave its runs unfinished for ever.
        """
        now = time.time()

        def note(connection: sa.Connection) -> None:
            connection.execute(installations.delete().where(installations.c.id == self._owner))
            connection.execute(installations.insert().values(id=self._owner, seen_at=now))

        await self._database.write(note)
        at_work = sa.select(installations.c.id).where(installations.c.seen_at > now - ABANDONED_S)
        return await self._fail(runs.c.owner.not_in(at_work), reason)

    async def _fail(self, which: sa.ColumnElement[bool], reason: str) -> int:
        error = dataclasses.asdict(RunError(InternalError.code, reason))
        values = {"state": RunState.FAILED.value, "error": error, "finished_at": time.time()}
        unfinished = runs.c.state.in_(_UNFINISHED)
        return await self._execute(runs.update().where(unfinished, which).values(**values))

    async def prune(self, before: float, max_bytes: int, *, is_dry: bool) -> tuple[int, int]:
        """Remove finished runs that ended before this, and the oldest beyond so many bytes.

        How many runs, and how many bytes they took. With `is_dry` nothing is removed. Other work comes
        between the transactions, which are small.
        """
        ended_at = sa.func.coalesce(runs.c.finished_at, runs.c.created_at).label("ended_at")
        finished = runs.c.state.not_in(_UNFINISHED)
        query = (
            sa.select(runs.c.id, runs.c.bytes, ended_at).where(finished).order_by(ended_at.desc(), runs.c.id)
        )
        victims, kept = [], 0
        for row in await self._rows(query):
            size = row["bytes"] + ROW_BYTES
            kept += size
            if row["ended_at"] < before or kept > max_bytes:
                victims.append((row["id"], size))
        for batch in [] if is_dry else _batches(victims):
            await self._database.write(functools.partial(_remove, run_ids=batch))
        if victims and not is_dry:
            await self._database.forget_old_pages()
        return len(victims), sum(size for _, size in victims)

    async def add_decision(self, run_id: str, line: DecisionLine) -> None:
        """Record one decision, up to a bound per run; the run's record says how many more there were."""
        seen = self._decisions.get(run_id, _Decisions())
        seen.count += 1
        if seen.count <= MAX_DECISIONS_PER_RUN:
            seen.size += len(json.dumps(line))
            await self._execute(decisions.insert().values(run_id=run_id, line=line))

    async def decisions(self, run_id: str) -> list[DecisionLine]:
        """A run's decisions in order."""
        query = sa.select(decisions.c.line).where(decisions.c.run_id == run_id).order_by(decisions.c.seq)
        return [cast("DecisionLine", row["line"]) for row in await self._rows(query)]

    async def _execute(self, statement: sa.Executable) -> int:
        return await self._database.write(lambda connection: int(connection.execute(statement).rowcount))

    async def _rows(self, statement: sa.Executable) -> list[Any]:
        return await self._database.read(lambda connection: list(connection.execute(statement).mappings()))


def _batches(victims: list[tuple[str, int]]) -> Iterator[list[str]]:
    batch, size = [], 0
    for run_id, taken in victims:
        batch.append(run_id)
        size += taken
        if len(batch) >= PRUNED_AT_ONCE or size >= PRUNED_BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _remove(connection: sa.Connection, *, run_ids: list[str]) -> None:
    connection.execute(decisions.delete().where(decisions.c.run_id.in_(run_ids)))
    connection.execute(outputs.delete().where(outputs.c.run_id.in_(run_ids)))
    connection.execute(labels.delete().where(labels.c.run_id.in_(run_ids)))
    connection.execute(runs.delete().where(runs.c.id.in_(run_ids)))
