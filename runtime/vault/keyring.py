"""The key set in use: read from the database, unwrapped once, made where there is none, rotated.

The key is asked outside of transactions: a KMS that hangs holds up nobody else's writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable

import sqlalchemy as sa
from tink import aead

from runtime.database.connection import Database
from runtime.errors import NotReadyError, VaultKeyError
from runtime.vault import key, rows
from runtime.vault.keyset import Keyset
from runtime.vault.rotation import reseal_all
from runtime.vault.source import KeySource

ATTEMPTS = 50
"""Of a change that others' rotations or first writes of the same name get in the way of."""


class Keyring:
    """The keys of one vault. Every method raises VaultKeyError, having changed nothing."""

    def __init__(self, database: Database, sources: tuple[KeySource, ...]) -> None:
        self._database = database
        self._sources = sources
        self._opened: tuple[bytes, Keyset] | None = None
        """The wrapped key set last seen, and what it holds."""

    async def prepare(self) -> None:
        """Open the vault; a new one gets its key set, and its key file."""
        if await self._database.read(rows.read_keyset) is None:
            wrapped = await asyncio.to_thread(self._wrapped, Keyset.new(), key.first)
            with contextlib.suppress(sa.exc.IntegrityError):  # another daemon was faster: its key set counts
                await self._database.write(lambda connection: rows.add_keyset(connection, wrapped))
        await self._current()

    async def change[T](self, work: Callable[[sa.Connection, Keyset], T]) -> T:
        """One transaction with the key set of its time; tried again where another's change came first."""
        for _ in range(ATTEMPTS):
            keys, row = await self._current()

            def held(connection: sa.Connection) -> T:
                rows.hold_keyset(connection, row.version)  # noqa: B023 - called in this turn
                return work(connection, keys)  # noqa: B023

            with contextlib.suppress(rows.KeysetChangedError, sa.exc.IntegrityError):
                return await self._database.write(held)
        raise _busy()

    async def rotate(self, note: Callable[[sa.Connection], None]) -> int:
        """A new key and key set, and everything encrypted anew, in one transaction; how many secrets.

        A key file has the new key, and still the old ones, before anything is encrypted with it: whatever
        ends this in between, the vault opens. One that does not open any more begins anew, once it is empty.
        """
        for _ in range(ATTEMPTS):
            row = await self._row()
            keys = await self._unwrap_unless_empty(row)
            fresh = Keyset.new()
            renewed = functools.partial(key.renewed, wrapped=row.wrapped)
            wrapped = await asyncio.to_thread(self._wrapped, fresh, renewed if keys else key.first)

            def held(connection: sa.Connection) -> int:
                rows.hold_keyset(connection, row.version, alone=True)  # noqa: B023 - called in this turn
                if keys is None and rows.has_secrets(connection):  # noqa: B023
                    raise rows.KeysetChangedError
                count = reseal_all(connection, keys, fresh) if keys else 0  # noqa: B023
                rows.replace_keyset(connection, wrapped)  # noqa: B023
                note(connection)
                return count

            with contextlib.suppress(rows.KeysetChangedError):
                count = await self._database.write(held)
                await self._database.forget_old_pages()
                return count
        raise _busy()

    async def unwrap(self, row: rows.KeysetRow) -> Keyset:
        """The keys of a row, which the key is asked for once."""
        if self._opened is None or self._opened[0] != row.wrapped:
            keys = await asyncio.to_thread(key.unwrap, row.wrapped, self._sources)
            self._opened = (row.wrapped, keys)
        return self._opened[1]

    async def _row(self) -> rows.KeysetRow:
        row = await self._database.read(rows.read_keyset)
        if row is None:
            await self.prepare()
            return await self._row()
        return row

    async def _current(self) -> tuple[Keyset, rows.KeysetRow]:
        row = await self._row()
        return await self.unwrap(row), row

    async def _unwrap_unless_empty(self, row: rows.KeysetRow) -> Keyset | None:
        try:
            return await self.unwrap(row)
        except VaultKeyError:
            if await self._database.read(rows.has_secrets):
                raise
            return None

    def _wrapped(self, keys: Keyset, choose: Callable[[KeySource], aead.Aead]) -> bytes:
        source = self._sources[0]
        return key.wrap(keys, choose(source), source)


def _busy() -> NotReadyError:
    return NotReadyError("the vault's keys are being rotated all the time", hint="try again")
