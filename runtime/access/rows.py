"""The SQL of tokens, on a connection that the caller opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from runtime.access.tables import tokens

USED_EVERY_S = 60.0
"""A token's last use is written no more often."""
_SHOWN = [column for column in tokens.c if column.name not in {"hash", "old_hash"}]


def insert(connection: sa.Connection, values: Mapping[str, Any]) -> None:
    """Raises IntegrityError where there is no such workspace."""
    connection.execute(tokens.insert().values(**values))


def shown(connection: sa.Connection) -> list[Mapping[str, Any]]:
    """All tokens without their hashes, the oldest first."""
    query = sa.select(*_SHOWN).order_by(tokens.c.created_at, tokens.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]


def find(connection: sa.Connection, token_id: str) -> Mapping[str, Any] | None:
    """One token with its hashes."""
    row = connection.execute(sa.select(tokens).where(tokens.c.id == token_id)).mappings().first()
    return dict(row) if row else None


def change(
    connection: sa.Connection, token_id: str, values: Mapping[str, Any], *, of: str | None = None
) -> bool:
    """Change a token that is not revoked, and has the hash `of` where one is given; whether there is one."""
    meant = [tokens.c.id == token_id, tokens.c.revoked_at.is_(None)]
    if of is not None:
        meant.append(tokens.c.hash == of)
    return bool(connection.execute(tokens.update().where(*meant).values(**values)).rowcount)


def note_use(connection: sa.Connection, token_id: str, now: float) -> None:
    """Write down that the token was used, unless that stands there already."""
    is_old = sa.or_(tokens.c.used_at.is_(None), tokens.c.used_at < now - USED_EVERY_S)
    connection.execute(tokens.update().where(tokens.c.id == token_id, is_old).values(used_at=now))
