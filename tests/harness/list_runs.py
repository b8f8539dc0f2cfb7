"""Measure a list of 100 out of many runs, on SQLite and on a PostgreSQL: `python -m tests.harness.list_runs`.

Each list is read through the API's own path (`runtime.runs.records`), a hundred times after a first one.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import tempfile
import time
import uuid
from pathlib import Path

import sqlalchemy as sa

from runtime.database.connection import Database, open_database
from runtime.model.limits import Isolation
from runtime.model.run import Run, RunState
from runtime.model.run_query import Position, RunFilter, RunQuery
from runtime.model.secret import Secret
from runtime.runs.records import Records
from runtime.runs.store import Store
from runtime.runs.tables import label_rows, labels, runs, summary_row
from tests.harness.postgres import Postgres, programs

DEFAULT_RUNS = 100_000
LISTED = 100
TIMES = 100
LISTS = {
    "the newest": RunFilter(),
    "of a workspace": RunFilter(workspace="w3"),
    "of a state": RunFilter(state=RunState.FAILED),
    "of a state of no run": RunFilter(state=RunState.TIMEOUT),
    "of an agent": RunFilter(agent="agent-7"),
    "with a label": RunFilter(labels={"batch": "17"}),
    "with a label, of a workspace": RunFilter(workspace="w3", labels={"batch": "17"}),
    "by seven digits": RunFilter(id_prefix="0a1b2c3"),
}


def main() -> None:
    """Measure both databases and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_RUNS
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure("sqlite", open_database(None, default=Path(folder) / "db"), count))
    found = programs()
    if found is None:
        print("postgresql: no server is installed")
        return
    server = Postgres.start(found)
    try:
        url = Secret(server.new_database())
        asyncio.run(_measure("postgresql", open_database(url, default=Path("/nowhere")), count))
    finally:
        server.close()


async def _measure(name: str, database: Database, count: int) -> None:
    records = Records(Store(database, owner="0" * 32))
    await _fill(database, count)
    for what, which in LISTS.items():
        for place, after in (("first page", None), ("middle", Position(count / 2, ""))):
            query = RunQuery(LISTED, which, after)
            page, took = await records.page(query), []
            for _ in range(TIMES):
                began = time.perf_counter()
                await records.page(query)
                took.append((time.perf_counter() - began) * 1000)
            took.sort()
            shown = f"p50 {took[TIMES // 2]:6.2f} ms, p99 {took[-2]:6.2f} ms"
            print(f"{name:11}{what:30}{place:11}{len(page.items):4} runs  {shown}")
    await database.close()


async def _fill(database: Database, count: int) -> None:
    chance = random.Random(11)
    states = (RunState.COMPLETED, RunState.COMPLETED, RunState.FAILED)

    def made(number: int) -> Run:
        return Run(
            id=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            agent_ref=f"agent-{number % 20}",
            policy_name="llm-only",
            isolation=Isolation.RUNC,
            state=chance.choice(states),
            created_at=float(number),
            workspace=f"w{number % 10}",
            labels={"batch": str(number % 100), "team": f"t{number % 5}"},
        )

    def work(connection: sa.Connection) -> None:
        for numbers in itertools.batched(range(count), 5000):
            crowd = [made(number) for number in numbers]
            connection.execute(runs.insert(), [{**summary_row(run), "owner": "0" * 32} for run in crowd])
            connection.execute(labels.insert(), [row for run in crowd for row in label_rows(run)])
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("ANALYZE"))

    await database.write(work)


if __name__ == "__main__":
    main()
