"""The one database of a daemon: SQLite (WAL) in ORCHBOX_HOME, or PostgreSQL by URL.

Opening it brings it to the newest revision, one daemon at a time. SQLAlchemy's calls block, so all work
runs in a thread of one worker, in the order in which it was given. A URL may hold a password, so only
`name` is ever shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError

from runtime.errors import InvalidInputError, NotReadyError, OrchError
from runtime.model.secret import Secret

CONNECT_TIMEOUT_S = 10
_MIGRATING = 0x6F726368
"""The advisory lock that a migrating daemon holds on PostgreSQL."""
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "busy_timeout=15000",
    "secure_delete=ON",  # what was deleted or replaced is overwritten
)


class Database:
    """An open database. Use `open_database`."""

    def __init__(self, url: sa.URL) -> None:
        """Raises OrchError naming the database when it cannot be used."""
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self.name = name_of(url)
        self.errors = 0
        """How often it did not answer."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        try:
            if self.is_sqlite:
                _make_private(Path(str(url.database)))
            self._engine = open_engine(url)
            self._reading, self._writing = _modes(self._engine, is_sqlite=self.is_sqlite)
            self._migrate()
        except (OSError, sa.exc.SQLAlchemyError, CommandError) as exc:
            self._thread.shutdown()
            with contextlib.suppress(AttributeError):
                self._engine.dispose()
            raise OrchError(
                f"{self.name}: the database cannot be used ({type(exc).__name__})",
                hint="check the folder's rights and free space, or the server and ORCHBOX_DATABASE_URL"
                " (a database written by a newer Orchbox is refused)",
            ) from None

    async def read[T](self, work: Callable[[sa.Connection], T]) -> T:
        """Do `work` on one unchanging view of the data. Raises NotReadyError when the database is away."""

        def run() -> T:
            with self._reading.connect() as connection:
                return work(connection)

        return await self._call(run)

    async def write[T](self, work: Callable[[sa.Connection], T]) -> T:
        """Do `work` as one transaction: on disk when this returns, undone when `work` raises.

        Raises NotReadyError when the database is away.
        """

        def run() -> T:
            with self._writing.begin() as connection:
                return work(connection)

        return await self._call(run)

    async def forget_old_pages(self) -> None:
        """Empty SQLite's write-ahead log, which still has what was overwritten; best effort."""
        if self.is_sqlite:
            with contextlib.suppress(OrchError):
                await self._call(self._checkpoint)

    async def close(self) -> None:
        """Close the database, behind all work that was given."""
        await asyncio.get_running_loop().run_in_executor(None, self.shut)

    def shut(self) -> None:
        """`close`, where no event loop runs."""
        self._thread.submit(self._engine.dispose).result()
        self._thread.shutdown()

    async def _call[T](self, function: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, function)
        except (sa.exc.OperationalError, sa.exc.InterfaceError) as exc:
            self.errors += 1
            raise NotReadyError(
                f"{self.name}: the database does not answer ({type(exc.orig).__name__})",
                hint="check its server, or free space on its disk",
            ) from None

    def _checkpoint(self) -> None:
        with contextlib.closing(self._engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _migrate(self) -> None:
        with self._writing.begin() as connection:
            if not self.is_sqlite:  # SQLite's writers exclude one another anyway
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATING)))
            config = migrations()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def open_database(url: Secret | None, *, default: Path) -> Database:
    """The database of a URL, or the SQLite file `default`. Raises InvalidInputError, OrchError."""
    return Database(url_of(url, default=default))


def migrations() -> Config:
    """Where the migrations are."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def url_of(url: Secret | None, *, default: Path) -> sa.URL:
    """A database's URL as SQLAlchemy has it. Raises InvalidInputError, without a word of what it is."""
    if url is None:
        return sa.URL.create("sqlite", database=str(default))
    try:
        found = sa.make_url(url.reveal())
        if found.get_backend_name() == "postgresql":
            found = found.set(drivername="postgresql+psycopg")
    except (sa.exc.ArgumentError, ValueError):
        raise InvalidInputError(
            "environment variable ORCHBOX_DATABASE_URL: not a database's URL",
            hint="as in postgresql://user:password@host/database; %-encode special characters",
        ) from None
    return found


def name_of(url: sa.URL) -> str:
    """What may be shown of it."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = url.host or url.query.get("host") or "this host"
    return f"PostgreSQL database {url.database} at {host}"


def open_engine(url: sa.URL) -> sa.Engine:
    """What connects to it, and has not yet."""
    return _sqlite(url) if url.get_backend_name() == "sqlite" else _postgresql(url)


def _sqlite(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # or the driver begins transactions of its own, too late
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A writer waits for its turn at once: one that has read first would be refused instead.
        is_writer = connection.get_execution_options().get("orchbox_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

    return engine


def _postgresql(url: sa.URL) -> sa.Engine:
    arguments = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_TIMEOUT_S}
    return sa.create_engine(
        url, hide_parameters=True, pool_size=1, max_overflow=1, pool_pre_ping=True, connect_args=arguments
    )


def _modes(engine: sa.Engine, *, is_sqlite: bool) -> tuple[sa.Engine, sa.Engine]:
    """The engine for reading and for writing."""
    if is_sqlite:
        return engine, engine.execution_options(orchbox_writes=True)
    # Several queries of one reader must see one state, as they do in SQLite.
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True), engine


def _make_private(path: Path) -> None:
    """The file with its owner's rights from the start: SQLite gives its journals the same ones."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
