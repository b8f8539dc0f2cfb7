"""The vault: workspaces, secrets, the key set that encrypts them, and who read what."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables and the workspace `default`."""
    workspaces = op.create_table(
        "workspaces",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.bulk_insert(workspaces, [{"id": "default", "name": "default", "created_at": time.time()}])
    op.create_table(
        "vault_keyset",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
        sa.Column("version", _number, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "vault_secrets",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, sa.ForeignKey("workspaces.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("secret_type", sa.Text, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("description", sa.LargeBinary),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
        sa.UniqueConstraint("workspace_id", "name"),
    )
    # No foreign keys: what was done is on record for longer than what it was done to.
    op.create_table(
        "vault_audit",
        sa.Column("seq", _number, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("workspace_id", sa.Text, index=True),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("run_id", sa.Text),
    )


def downgrade() -> None:
    """Remove the vault's tables, with every secret in them."""
    for table in ("vault_audit", "vault_secrets", "vault_keyset", "workspaces"):
        op.drop_table(table)
