"""The table of keys, as its migration makes it."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()
keys = sa.Table(
    "idempotency_keys",
    metadata,
    *(sa.Column(name, sa.Text, primary_key=True) for name in ("workspace", "caller", "route", "key")),
    sa.Column("made_by", sa.Text),
    sa.Column("body_hash", sa.LargeBinary),
    sa.Column("status", sa.Integer),
    *(sa.Column(name, sa.Text) for name in ("response", "location")),
    sa.Column("created_at", sa.Float),
)
