"""Every test of this tier runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runtime.vault.service import Vault
from tests.harness.postgres import Postgres, programs
from tests.vault.places import Place


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for the whole tier; skipped without its programs locally, a failure in CI."""
    found = programs()
    if found is None:
        told = "no PostgreSQL server is installed (initdb): apt install postgresql, or make setup as root"
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
    server = Postgres.start(found)
    yield server
    server.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """An empty database."""
    if request.param == "sqlite":
        folder = tmp_path / "home"

        def files() -> bytes:
            return b"".join(p.read_bytes() for p in folder.glob("orchbox.sqlite3*"))

        made = Place(folder, None, files)
    else:
        server: Postgres = request.getfixturevalue("postgres")
        url = server.new_database()
        made = Place(tmp_path / "home", url, lambda: server.dump(url))
    yield made
    await made.close()


@pytest.fixture
async def vault(place: Place) -> Vault:
    """A new vault, with its key file made."""
    made = place.vault()
    await made.prepare()
    return made
