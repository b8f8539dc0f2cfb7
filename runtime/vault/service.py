"""The vault: secrets go in, and come out for a run alone, which is written down before they do.

Every change is one transaction that holds the key set, so that a rotation is before it or after it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from proxy.contract.secret_rules import is_secret_name
from runtime.audit.port import AuditPort, NoAudit
from runtime.database.connection import Database
from runtime.errors import ConflictError, NotFoundError, VaultKeyError
from runtime.model.secret import Secret
from runtime.vault import entry, rows
from runtime.vault.entry import AuditLine, SecretEntry, Workspace
from runtime.vault.keyring import Keyring
from runtime.vault.keyset import Keyset, KeysetError
from runtime.vault.source import KeySource

OnChange = Callable[[Collection[str], str, Secret | None], Awaitable[None]]
"""The workspace (its id and its name), the secret's name, its new value or None."""


class _Changed(NamedTuple):
    workspace: Workspace
    entry: SecretEntry


async def _nobody_has_it(_workspace: Collection[str], _name: str, _value: Secret | None) -> None:
    """Nothing runs yet."""


class Vault:
    """Implements `ports.VaultPort`. A workspace is named by id or name, a secret too."""

    def __init__(self, database: Database, sources: tuple[KeySource, ...]) -> None:
        """`sources`: where the key is, then where it was before a move."""
        self._database = database
        self._keyring = Keyring(database, sources)
        self.on_change: OnChange = _nobody_has_it
        """Told of each secret that was set or deleted, before whoever did that is told that it is done."""
        self.chain: AuditPort = NoAudit()
        """The daemon's audit: a value is read only once that stands there, too."""
        self._in_order = asyncio.Lock()
        self.reads: Counter[str] = Counter()
        """Of values for runs: `given`, `absent` (asked for, and not there), `failed` (not to be had)."""

    async def prepare(self) -> None:
        """Open the vault; a new one gets its key set, and its key file. Raises VaultKeyError."""
        await self._keyring.prepare()

    # -- for a run ---------------------------------------------------------------------------------

    async def read(
        self, workspace: str, names: Collection[str], *, run_id: str, reader: str
    ) -> dict[str, Secret]:
        """The values of those of `names` that the workspace has; each is audited (who, name, run).

        Raises NotFoundError (no such workspace), VaultKeyError, NotReadyError (it cannot be audited).
        """
        try:
            found = await self._read(workspace, names, run_id=run_id, reader=reader)
        except Exception:
            self.reads["failed"] += len(names)
            raise
        self.reads["given"] += len(found)
        self.reads["absent"] += len(names) - len(found)
        return found

    async def _read(
        self, workspace: str, names: Collection[str], *, run_id: str, reader: str
    ) -> dict[str, Secret]:
        def find(connection: sa.Connection) -> tuple[str, dict[str, bytes], rows.KeysetRow | None]:
            found = rows.find_workspace(connection, workspace).id
            return found, rows.sealed_values(connection, found, names), rows.read_keyset(connection)

        workspace_id, sealed, row = await self._database.read(find)
        if not sealed or row is None:
            return {}
        values = await self._open_values(row, workspace_id, sealed)

        def note(connection: sa.Connection) -> None:
            rows.add_audit(connection, "read", values, who=reader, workspace_id=workspace_id, run_id=run_id)

        await self._database.write(note)
        said = {"workspace": workspace, "secrets": sorted(values), "reader": reader}
        await self.chain.add("secret.read", who=f"run:{run_id}", data=said)
        return values

    async def _open_values(
        self, row: rows.KeysetRow, workspace_id: str, sealed: Mapping[str, bytes]
    ) -> dict[str, Secret]:
        name = next(iter(sealed))
        try:
            keys = await self._keyring.unwrap(row)
            opened = {}
            for name, value in sealed.items():
                opened[name] = Secret(keys.open(value, workspace_id, name, "value"))
        except (KeysetError, VaultKeyError) as exc:
            what = "LLM key" if entry.provider_of_name(name) else "secret"
            why = exc.message if isinstance(exc, VaultKeyError) else "its row was changed outside the vault"
            hint = exc.hint if isinstance(exc, VaultKeyError) else f"set {name} again"
            raise VaultKeyError(f"Failed to decrypt {what} {name}: {why}", hint=hint) from None
        return opened

    # -- for everybody -----------------------------------------------------------------------------

    async def workspaces(self) -> list[Workspace]:
        """List all workspaces in the order of their names."""
        return await self._database.read(rows.list_workspaces)

    async def workspace(self, ref: str) -> Workspace:
        """One workspace, by its id or its name. Raises NotFoundError."""
        return await self._database.read(lambda connection: rows.find_workspace(connection, ref))

    async def add_workspace(
        self, name: str, also: Callable[[sa.Connection, Workspace], None] | None = None
    ) -> Workspace:
        """Add a workspace, together with what `also` writes.

        Raises InvalidInputError (its name) and ConflictError (taken).
        """
        entry.check_workspace_name(name)
        return await self._database.write(lambda connection: rows.add_workspace(connection, name, also))

    async def entries(self, workspace: str) -> list[SecretEntry]:
        """What there is, never a value. Works without the key, which then hides the descriptions.

        Raises NotFoundError.
        """

        def find(connection: sa.Connection) -> tuple[list[Mapping[str, Any]], rows.KeysetRow | None]:
            found = rows.find_workspace(connection, workspace).id
            return rows.list_secrets(connection, found), rows.read_keyset(connection)

        found, row = await self._database.read(find)
        keys = None
        if row is not None and any(record["description"] for record in found):
            with contextlib.suppress(VaultKeyError):
                keys = await self._keyring.unwrap(row)
        return [_shown(record, keys) for record in found]

    async def audit(self, workspace: str, limit: int) -> list[AuditLine]:
        """The newest first. Raises NotFoundError."""
        return await self._database.read(
            lambda connection: rows.list_audit(
                connection, rows.find_workspace(connection, workspace).id, limit
            )
        )

    async def prune_audit(self, before: float, *, is_dry: bool) -> int:
        """Remove the audit's lines older than this, of every workspace, which is itself audited; how many.

        Raises NotReadyError.
        """
        return await self._database.write(
            lambda connection: rows.prune_audit(connection, before, is_dry=is_dry)
        )

    async def put(  # noqa: PLR0913 - keywords, each a part of the secret or of its change
        self,
        workspace: str,
        name: str,
        value: Secret,
        *,
        who: str,
        description: str | None = None,
        secret_type: str = "custom",  # noqa: S107 - a type, not a password
        must_be_new: bool = False,
        also: Callable[[sa.Connection, SecretEntry], None] | None = None,
    ) -> SecretEntry:
        """Set a secret, together with what `also` writes; a description that is None stays as it was.

        Raises InvalidInputError, NotFoundError, ConflictError (`must_be_new`), VaultKeyError.
        """
        entry.check_name(name)
        entry.check_value(value)
        entry.check_description(description)
        entry.check_type(secret_type)

        def change(connection: sa.Connection, keys: Keyset) -> _Changed:
            where = rows.find_workspace(connection, workspace)
            at = where.id
            sealed = _sealed(keys, at, name, value, description)
            known = rows.find_secret(connection, at, name)
            if known is None:
                blank = {"description": None, "secret_type": secret_type}
                rows.insert_secret(connection, at, name, {**blank, **sealed})
            elif must_be_new:
                raise ConflictError(f"there is a secret {name}", hint="PATCH or PUT it, or orch secrets set")
            else:
                rows.update_secret(connection, known["id"], sealed)
            noted = _noted(connection, keys, at, name, who)
            if also is not None:
                also(connection, noted)
            return _Changed(where, noted)

        async with self._in_order:
            changed = await self._keyring.change(change)
            await self._tell(changed.workspace, name, value)
        return changed.entry

    async def patch(
        self, workspace: str, ref: str, *, who: str, value: Secret | None, description: str | None
    ) -> SecretEntry:
        """Change what is not None. Raises InvalidInputError, NotFoundError, VaultKeyError."""
        if value is not None:
            entry.check_value(value)
        entry.check_description(description)

        def change(connection: sa.Connection, keys: Keyset) -> _Changed:
            where, known = _existing(connection, workspace, ref)
            columns = _sealed(keys, where.id, known["name"], value, description)
            rows.update_secret(connection, known["id"], columns)
            return _Changed(where, _noted(connection, keys, where.id, known["name"], who))

        async with self._in_order:
            changed = await self._keyring.change(change)
            if value is not None:
                await self._tell(changed.workspace, changed.entry.name, value)
        return changed.entry

    async def delete(self, workspace: str, ref: str, *, who: str) -> str:
        """Remove a secret, also without the key; its name. Raises NotFoundError."""

        def remove(connection: sa.Connection) -> tuple[Workspace, str]:
            where, known = _existing(connection, workspace, ref)
            name = str(known["name"])
            if rows.delete_secret(connection, known["id"]):
                rows.add_audit(connection, "delete", [name], who=who, workspace_id=where.id)
            return where, name

        async with self._in_order:
            where, name = await self._database.write(remove)
            await self._tell(where, name, None)
        return name

    async def _tell(self, workspace: Workspace, name: str, value: Secret | None) -> None:
        await self.on_change({workspace.id, workspace.name}, name, value)

    async def rotate(self, *, who: str) -> int:
        """A new key and a new key set, with everything encrypted anew, in one transaction; how many secrets.

        Raises VaultKeyError, having rotated nothing.
        """

        def note(connection: sa.Connection) -> None:
            rows.add_audit(connection, "rotate", [None], who=who, workspace_id=None)

        return await self._keyring.rotate(note)


def _sealed(
    keys: Keyset, workspace_id: str, name: str, value: Secret | None, description: str | None
) -> dict[str, bytes | None]:
    """The columns to write: of a description, "" removes it."""
    columns: dict[str, bytes | None] = {}
    if value is not None:
        columns["value"] = keys.seal(value.reveal(), workspace_id, name, "value")
    if description is not None:
        columns["description"] = (
            keys.seal(description, workspace_id, name, "description") if description else None
        )
    return columns


def _existing(connection: sa.Connection, workspace: str, ref: str) -> tuple[Workspace, Mapping[str, Any]]:
    where = rows.find_workspace(connection, workspace)
    known = rows.find_secret(connection, where.id, ref)
    if known is None:
        # A name is repeated, anything else is not: it may be a value in the wrong place.
        raise NotFoundError(
            f"no secret {ref}" if is_secret_name(ref) else "no such secret", hint="orch secrets list"
        )
    return where, known


def _noted(connection: sa.Connection, keys: Keyset, workspace_id: str, name: str, who: str) -> SecretEntry:
    rows.add_audit(connection, "set", [name], who=who, workspace_id=workspace_id)
    record = rows.find_secret(connection, workspace_id, name)
    if record is None:
        raise NotFoundError(f"no secret {name}")
    return _shown(record, keys)


def _shown(record: Mapping[str, Any], keys: Keyset | None) -> SecretEntry:
    provider = entry.provider_of_name(record["name"])
    description = None
    if keys is not None and record["description"] is not None:
        with contextlib.suppress(KeysetError):
            description = keys.open(
                bytes(record["description"]), record["workspace_id"], record["name"], "description"
            )
    return SecretEntry(
        id=record["id"],
        name=record["name"],
        secret_type="llm_key" if provider else record["secret_type"],
        provider=provider,
        description=description,
        created_at=record["created_at"],
        updated_at=record["updated_at"],
    )
