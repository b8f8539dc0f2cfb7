"""The table of tokens, as its migration makes it."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()
tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    *(sa.Column(name, sa.Text) for name in ("name", "role", "workspace", "created_by", "hash", "old_hash")),
    *(
        sa.Column(name, sa.Float)
        for name in ("created_at", "expires_at", "old_until", "used_at", "revoked_at", "rotated_at")
    ),
)
