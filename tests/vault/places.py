"""A database to test on, whichever it is, and the vault's key beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from runtime.database.connection import Database, open_database
from runtime.model.secret import Secret
from runtime.vault.service import Vault
from runtime.vault.source import FileKey, KeySource

VALUE = "sk-the-secret-value-0123456789"
ME = "uid:0"


@dataclass
class Place:
    """Where one test's data is; `open` and `vault` open it as one more daemon would."""

    folder: Path
    url: str | None
    """None is SQLite."""
    copy: Callable[[], bytes]
    """Everything that a thief of the database has."""
    opened: list[Database] = field(default_factory=list)

    @property
    def key(self) -> Path:
        """The vault's key file."""
        return self.folder / "vault.key"

    @property
    def file(self) -> Path:
        """SQLite's file."""
        return self.folder / "orchbox.sqlite3"

    def open(self) -> Database:
        """A database of its own, closed after the test."""
        database = open_database(Secret(self.url) if self.url else None, default=self.file)
        self.opened.append(database)
        return database

    def vault(self, *sources: KeySource) -> Vault:
        """A vault of its own."""
        return Vault(self.open(), sources or (FileKey(self.key),))

    async def close(self) -> None:
        """Close what was opened."""
        for database in self.opened:
            await database.close()
