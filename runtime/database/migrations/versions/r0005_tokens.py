"""Tokens, of which only a hash is kept, and whose the runs are: a workspace for each of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, which is empty; the runs that there are belong to the workspace `default`."""
    op.add_column("runs", sa.Column("workspace", sa.Text, nullable=False, server_default="default"))
    op.create_index("runs_by_workspace", "runs", ["workspace", "created_at"])
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name")),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("old_hash", sa.Text),
        sa.Column("created_at", sa.Float, nullable=False),
        *(
            sa.Column(name, sa.Float)
            for name in ("expires_at", "old_until", "used_at", "revoked_at", "rotated_at")
        ),
    )


def downgrade() -> None:
    """Remove all tokens, and forget whose the runs are."""
    op.drop_table("tokens")
    op.drop_index("runs_by_workspace", "runs")
    op.drop_column("runs", "workspace")
