"""runtime.database.connection: a URL's password stays where it is, and work is one transaction."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from runtime.database.connection import Database, open_database
from runtime.errors import InvalidInputError, NotReadyError, OrchError
from runtime.model.secret import Secret
from runtime.vault.tables import workspaces

PASSWORD = "pass-w0rd"
NEW = {"id": "x", "name": "x", "created_at": 0.0}


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A SQLite file."""
    made = open_database(Secret(f"sqlite:///{tmp_path}/a%20b/db"), default=tmp_path / "unused")
    yield made
    await made.close()


async def test_a_url_names_the_file(database: Database, tmp_path: Path):
    """Percent-encoding undone; the default is left alone."""
    assert database.is_sqlite
    assert (tmp_path / "a b" / "db").is_file()
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{PASSWORD}@127.0.0.1:1/orchbox",
        f"postgresql://127.0.0.1:1/orchbox?user=u&password={PASSWORD}",
    ],
    ids=["in its place", "as a parameter"],
)
def test_a_server_that_is_away_is_named_without_the_password(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    """Database and host are told, the password is in no error, no chained error and no log."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(OrchError, match=r"PostgreSQL database orchbox at 127\.0\.0\.1") as told:
        open_database(Secret(url), default=tmp_path / "unused")

    said = f"{told.value!r} {told.value.hint} {told.value.__cause__!r}{caplog.text}{capfd.readouterr()}"
    assert told.value.__suppress_context__
    assert PASSWORD not in said


@pytest.mark.parametrize("url", [f"postgresql://u:{PASSWORD}@h:port/d", f"postgresql://u:{PASSWORD}@[::1/d"])
def test_a_url_that_is_none_is_refused_unseen(url: str, tmp_path: Path):
    """A typing error does not print the password."""
    with pytest.raises(InvalidInputError, match="ORCHBOX_DATABASE_URL") as told:
        open_database(Secret(url), default=tmp_path / "unused")

    assert PASSWORD not in str(told.value) + str(told.value.hint)


async def test_work_that_fails_leaves_nothing(database: Database):
    """Its transaction is undone."""

    def fail(connection: sa.Connection) -> None:
        connection.execute(workspaces.insert().values(**NEW))
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(fail)

    names = await database.read(lambda c: list(c.execute(sa.select(workspaces.c.name)).scalars()))
    assert names == ["default"]


async def test_values_are_in_no_error(database: Database):
    """SQLAlchemy would print the parameters of a statement that fails."""
    with pytest.raises(sa.exc.IntegrityError) as told:
        await database.write(lambda c: c.execute(workspaces.insert(), [{**NEW, "name": "v4lue"}] * 2))

    assert "v4lue" not in str(told.value)


async def test_a_database_that_went_away_is_one_error(database: Database):
    """Not the driver's own, which holds the statement."""
    with pytest.raises(NotReadyError, match="does not answer"):
        await database.read(lambda c: c.execute(sa.text("select * from nowhere")))
    assert database.errors == 1


async def test_what_was_replaced_is_overwritten(database: Database, tmp_path: Path):
    """Old ciphertext does not stay behind in the file or its log."""
    await database.write(lambda c: c.execute(workspaces.insert().values(**{**NEW, "name": "v4lue" * 200})))
    await database.write(
        lambda c: c.execute(workspaces.update().values(name="gone").where(workspaces.c.id == "x"))
    )
    await database.forget_old_pages()

    kept = b"".join(path.read_bytes() for path in (tmp_path / "a b").iterdir())
    assert b"gone" in kept
    assert b"v4lue" not in kept
