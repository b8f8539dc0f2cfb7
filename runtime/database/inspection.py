"""A look at a database that changes nothing: nobody migrates it, and what is written is rolled back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from runtime.database.connection import migrations, name_of, open_engine, url_of
from runtime.errors import NotReadyError
from runtime.model.secret import Secret

LOCK_TIMEOUT_S = 5
_TOUCH = sa.text("UPDATE alembic_version SET version_num = version_num")


@dataclass(frozen=True, slots=True)
class Seen[T]:
    """What was found."""

    name: str
    revision: str | None
    """None for a database without our tables."""
    newest: str | None
    """The revision that this version of Orchbox makes."""
    is_known: bool
    """Whether this version knows the revision; a newer one's it does not."""
    clock: tuple[float, float, float] | None
    """A server's, in epoch seconds, with ours from before and after it was asked."""
    found: T | None
    """What `work` returned, where there were tables to look at."""


def inspect[T](url: Secret | None, *, default: Path, work: Callable[[sa.Connection], T]) -> Seen[T]:
    """Look at a database, and write to it what is then rolled back.

    Raises NotReadyError where that does not work, without a word of the URL.
    """
    where = url_of(url, default=default)
    name = name_of(where)
    scripts = ScriptDirectory.from_config(migrations())
    if where.get_backend_name() == "sqlite" and not Path(str(where.database)).exists():
        return Seen(name, None, scripts.get_current_head(), is_known=False, clock=None, found=None)
    engine = open_engine(where).execution_options(orchbox_writes=True)
    try:
        with engine.connect() as connection:
            return _seen(connection, name, scripts, work)
    except (sa.exc.SQLAlchemyError, OSError) as exc:
        reason = type(getattr(exc, "orig", None) or exc).__name__
        said = _said(exc)
        raise NotReadyError(
            f"{name}: {said or reason}",
            hint="check the folder's rights and free space, or the server and ORCHBOX_DATABASE_URL",
        ) from None
    finally:
        engine.dispose()


def _seen[T](
    connection: sa.Connection, name: str, scripts: ScriptDirectory, work: Callable[[sa.Connection], T]
) -> Seen[T]:
    is_sqlite = connection.dialect.name == "sqlite"
    if not is_sqlite:
        connection.execute(sa.text(f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'"))
    revision = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    found = None
    if revision is not None:
        connection.execute(_TOUCH)
        connection.rollback()
        if revision in known:
            found = work(connection)
    clock = None if is_sqlite else _clock(connection)
    return Seen(name, revision, scripts.get_current_head(), revision in known, clock, found)


def _clock(connection: sa.Connection) -> tuple[float, float, float]:
    before = time.time()
    theirs: Any = connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
    return float(theirs), before, time.time()


def _said(exc: Exception) -> str | None:
    """The driver's words for what a file is missing; a server's may quote what was asked of it."""
    found = str(getattr(exc, "orig", ""))
    words = ("readonly database", "unable to open database file", "database is locked", "not a database")
    return next((word for word in words if word in found), None)
