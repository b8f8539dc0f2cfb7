"""Encrypting every row anew, within one transaction that nobody else writes beside."""

from __future__ import annotations

import sqlalchemy as sa

from runtime.errors import VaultKeyError
from runtime.vault import rows
from runtime.vault.keyset import Keyset, KeysetError

BATCH = 100


def reseal_all(connection: sa.Connection, old: Keyset, new: Keyset) -> int:
    """How many secrets. Raises VaultKeyError for a row that does not open: nothing is rotated then."""
    count, last = 0, ""
    while batch := rows.all_sealed(connection, last, BATCH):
        for row in batch:
            value = _reseal(row, "value", old, new)
            description = _reseal(row, "description", old, new) if row.description is not None else None
            rows.replace_sealed(connection, row.id, value, description)
        count, last = count + len(batch), batch[-1].id
    return count


def _reseal(row: sa.Row[tuple[object, ...]], field: str, old: Keyset, new: Keyset) -> bytes:
    place = (row.workspace_id, row.name, field)
    try:
        return new.seal(old.open(bytes(getattr(row, field)), *place), *place)
    except KeysetError:
        raise VaultKeyError(
            f"Failed to decrypt secret {row.name}: its row was changed outside the vault",
            hint=f"set or delete {row.name}, then rotate again; nothing was changed",
        ) from None
