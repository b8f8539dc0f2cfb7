"""The vault's tables, as the migrations made them."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

workspaces = sa.Table(
    "workspaces",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text),
    sa.Column("created_at", sa.Float),
)
keyset = sa.Table(
    "vault_keyset",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("version", sa.BigInteger),
    sa.Column("wrapped", sa.LargeBinary),
)
secrets = sa.Table(
    "vault_secrets",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    *(sa.Column(name, sa.Text) for name in ("workspace_id", "name", "secret_type")),
    *(sa.Column(name, sa.LargeBinary) for name in ("value", "description")),
    *(sa.Column(name, sa.Float) for name in ("created_at", "updated_at")),
)
audit = sa.Table(
    "vault_audit",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
    sa.Column("at", sa.Float),
    *(sa.Column(name, sa.Text) for name in ("workspace_id", "who", "action", "name", "run_id")),
)
