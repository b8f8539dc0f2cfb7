"""The vault's SQL: rows in, rows out, on a connection that the caller opened. Nothing here is decrypted."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from runtime.errors import ConflictError, NotFoundError
from runtime.vault.entry import AuditLine, Workspace
from runtime.vault.tables import audit, keyset, secrets, workspaces

_shown = sa.select(*(column for column in secrets.c if column.name != "value"))


class KeysetRow(NamedTuple):
    """The wrapped key set; `version` counts its rotations."""

    version: int
    wrapped: bytes


class KeysetChangedError(Exception):
    """The key set was rotated since it was read: do it again with the new one."""


# -- workspaces ------------------------------------------------------------------------------------


def find_workspace(connection: sa.Connection, ref: str) -> Workspace:
    """By id or name. Raises NotFoundError."""
    query = sa.select(workspaces).where(sa.or_(workspaces.c.id == ref, workspaces.c.name == ref))
    row = connection.execute(query).mappings().first() if _is_text(ref) else None
    if row is None:
        raise NotFoundError("no such workspace", hint="orch workspaces list")
    return Workspace(**row)


def list_workspaces(connection: sa.Connection) -> list[Workspace]:
    """List all workspaces in the order of their names."""
    query = sa.select(workspaces).order_by(workspaces.c.name)
    return [Workspace(**row) for row in connection.execute(query).mappings()]


def add_workspace(
    connection: sa.Connection, name: str, also: Callable[[sa.Connection, Workspace], None] | None = None
) -> Workspace:
    """Add a workspace, and first what `also` writes. Raises ConflictError where the name is taken."""
    made = Workspace(str(uuid.uuid4()), name, time.time())
    if also is not None:
        also(connection, made)
    try:
        connection.execute(workspaces.insert().values(id=made.id, name=name, created_at=made.created_at))
    except sa.exc.IntegrityError:
        raise ConflictError(f"there is a workspace {name}", hint="orch workspaces list") from None
    return made


# -- the key set -----------------------------------------------------------------------------------


def read_keyset(connection: sa.Connection) -> KeysetRow | None:
    """None in a vault that was never used."""
    row = connection.execute(sa.select(keyset.c.version, keyset.c.wrapped)).first()
    return KeysetRow(row.version, bytes(row.wrapped)) if row else None


def add_keyset(connection: sa.Connection, wrapped: bytes) -> None:
    """The first one. Raises IntegrityError when another daemon was faster."""
    connection.execute(keyset.insert().values(id=1, version=1, wrapped=wrapped))


def hold_keyset(connection: sa.Connection, version: int, *, alone: bool = False) -> None:
    """No rotation until this transaction ends; `alone`: no other writer either. Raises KeysetChangedError."""
    # SQLite has no such clause, and one writer at a time anyway.
    query = sa.select(keyset.c.version).with_for_update(read=not alone)
    if connection.execute(query).scalar_one() != version:
        raise KeysetChangedError


def replace_keyset(connection: sa.Connection, wrapped: bytes) -> None:
    """Put another wrapped key set in the place of the present one, as its next version."""
    connection.execute(keyset.update().values(version=keyset.c.version + 1, wrapped=wrapped))


# -- secrets ---------------------------------------------------------------------------------------


def list_secrets(connection: sa.Connection, workspace_id: str) -> list[Mapping[str, Any]]:
    """By name, values left out."""
    query = _shown.where(secrets.c.workspace_id == workspace_id).order_by(secrets.c.name)
    return [dict(row) for row in connection.execute(query).mappings()]


def has_secrets(connection: sa.Connection) -> bool:
    """Whether any workspace has a secret."""
    return connection.execute(sa.select(secrets.c.id).limit(1)).first() is not None


def find_secret(connection: sa.Connection, workspace_id: str, ref: str) -> Mapping[str, Any] | None:
    """By id or name, its value left out; names have capitals and ids have none."""
    is_meant = sa.or_(secrets.c.name == ref, secrets.c.id == ref)
    query = _shown.where(secrets.c.workspace_id == workspace_id, is_meant)
    row = connection.execute(query).mappings().first() if _is_text(ref) else None
    return dict(row) if row else None


def sealed_values(connection: sa.Connection, workspace_id: str, names: Iterable[str]) -> dict[str, bytes]:
    """Name -> encrypted value of those that there are."""
    query = sa.select(secrets.c.name, secrets.c.value).where(
        secrets.c.workspace_id == workspace_id, secrets.c.name.in_([n for n in names if _is_text(n)])
    )
    return {row.name: bytes(row.value) for row in connection.execute(query.order_by(secrets.c.name))}


def insert_secret(connection: sa.Connection, workspace_id: str, name: str, values: Mapping[str, Any]) -> None:
    """Raises IntegrityError when the name is taken."""
    made = {"id": str(uuid.uuid4()), "workspace_id": workspace_id, "name": name, "created_at": time.time()}
    connection.execute(secrets.insert().values(**made, **values, updated_at=made["created_at"]))


def update_secret(connection: sa.Connection, secret_id: str, values: Mapping[str, Any]) -> None:
    """Change the given columns of a secret, and its time of change."""
    change = secrets.update().where(secrets.c.id == secret_id)
    connection.execute(change.values(**values, updated_at=time.time()))


def delete_secret(connection: sa.Connection, secret_id: str) -> bool:
    """Delete a secret; whether it was there."""
    return connection.execute(secrets.delete().where(secrets.c.id == secret_id)).rowcount == 1


def all_sealed(connection: sa.Connection, after: str, limit: int) -> list[Any]:
    """The next rows in order of their ids."""
    columns = (secrets.c.id, secrets.c.workspace_id, secrets.c.name, secrets.c.value, secrets.c.description)
    query = sa.select(*columns).where(secrets.c.id > after).order_by(secrets.c.id).limit(limit)
    return list(connection.execute(query))


def replace_sealed(
    connection: sa.Connection, secret_id: str, value: bytes, description: bytes | None
) -> None:
    """The same content under another key: its time stays."""
    change = secrets.update().where(secrets.c.id == secret_id)
    connection.execute(change.values(value=value, description=description))


# -- the audit -------------------------------------------------------------------------------------


def add_audit(
    connection: sa.Connection,
    action: str,
    names: Iterable[str | None],
    *,
    who: str,
    workspace_id: str | None,
    run_id: str | None = None,
) -> None:
    """A line for each name."""
    fixed = {"at": time.time(), "who": who, "action": action, "workspace_id": workspace_id, "run_id": run_id}
    lines = [{**fixed, "name": name} for name in names]
    if lines:
        connection.execute(audit.insert(), lines)


def list_audit(connection: sa.Connection, workspace_id: str, limit: int) -> list[AuditLine]:
    """The newest first; rotations belong to every workspace."""
    shown = (audit.c.at, audit.c.who, audit.c.action, audit.c.name, audit.c.run_id)
    mine = sa.or_(audit.c.workspace_id == workspace_id, audit.c.workspace_id.is_(None))
    query = sa.select(*shown).where(mine).order_by(audit.c.seq.desc()).limit(limit)
    return [AuditLine(**row) for row in connection.execute(query).mappings()]


def prune_audit(connection: sa.Connection, before: float, *, is_dry: bool) -> int:
    """Remove the lines older than this, and note that it was done; how many. With `is_dry` only count."""
    old = audit.c.at < before
    if is_dry:
        return connection.execute(sa.select(sa.func.count()).select_from(audit).where(old)).scalar_one()
    removed = connection.execute(audit.delete().where(old)).rowcount
    if removed:
        add_audit(connection, "prune", [None], who="retention", workspace_id=None)
    return removed


def _is_text(ref: str) -> bool:
    """Nothing has a name with NUL or half a surrogate pair, and asking PostgreSQL for one is an error."""
    return ref.isprintable()
