"""runtime.database.inspection: a look at a database changes nothing (its faults: `cli/diagnosis/test_stores.py`)."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from runtime.database.connection import open_database
from runtime.database.inspection import inspect
from runtime.errors import NotReadyError
from runtime.model.secret import Secret
from tests.harness.postgres import Postgres, programs


def version(connection: sa.Connection) -> str:
    """What there is to see."""
    return str(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one())


def files(folder: Path) -> list[Path]:
    """What is there."""
    return list(folder.iterdir())


async def test_a_file_is_looked_at(tmp_path: Path):
    """Its revision is the newest; a file has no clock; what is not there is not made."""
    path = tmp_path / "db"
    before = inspect(None, default=path, work=version)
    assert (before.revision, before.found, files(tmp_path)) == (None, None, [])
    await open_database(None, default=path).close()

    seen = inspect(None, default=path, work=version)

    assert seen.found == seen.revision == seen.newest
    assert (seen.is_known, seen.clock, seen.name) == (True, None, str(path))


async def test_a_writer_does_not_make_it_a_fault(tmp_path: Path):
    """The daemon writes all the time: a look waits for its turn."""
    database = open_database(None, default=tmp_path / "db")
    seen = await database.read(lambda _connection: inspect(None, default=tmp_path / "db", work=version))
    assert seen.is_known
    await database.close()


@pytest.mark.postgres
async def test_a_server_is_looked_at(tmp_path: Path):
    """With its clock, between two looks at ours; one that only reads is told."""
    found = programs()
    if found is None:
        told = "no PostgreSQL server is installed (initdb): apt install postgresql, or make setup as root"
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
    server = Postgres.start(found)
    try:
        url = Secret(server.new_database())
        assert inspect(url, default=tmp_path, work=version).revision is None
        await open_database(url, default=tmp_path).close()
        seen = inspect(url, default=tmp_path, work=version)
        assert seen.found == seen.newest
        assert seen.clock is not None
        theirs, before, after = seen.clock
        assert before - 1 < theirs < after + 1
        assert abs(time.time() - theirs) < 60
        reading = Secret(
            f"{url.reveal()}{'&' if '?' in url.reveal() else '?'}options=-c%20default_transaction_read_only%3Don"
        )
        with pytest.raises(NotReadyError, match="ReadOnlySqlTransaction"):
            inspect(reading, default=tmp_path, work=version)
    finally:
        server.close()
