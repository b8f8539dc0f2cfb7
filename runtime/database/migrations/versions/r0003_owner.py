"""Whose daemon a run is: several may share the database, and each ends only what it left itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Name each run's installation; none for the runs of older versions, which shared no database."""
    op.add_column("runs", sa.Column("owner", sa.Text))
    op.create_table(
        "installations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("seen_at", sa.Float, nullable=False),
    )


def downgrade() -> None:
    """Forget whose the runs are."""
    op.drop_table("installations")
    op.drop_column("runs", "owner")
