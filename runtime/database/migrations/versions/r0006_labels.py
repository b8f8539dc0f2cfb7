"""Labels of runs: in the run's own row to be shown, and in a table of their own to be found by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Compared byte by byte, whatever the language of the database: a list goes on behind the last id."""


def upgrade() -> None:
    """Add the column and the table; the runs that there are have no labels."""
    op.add_column("runs", sa.Column("labels", sa.JSON, nullable=False, server_default="{}"))
    op.create_table(
        "run_labels",
        *(sa.Column(name, _bytewise, primary_key=True) for name in ("key", "value")),
        sa.Column("created_at", sa.Float, primary_key=True),
        sa.Column("run_id", _bytewise, sa.ForeignKey("runs.id"), primary_key=True),
    )
    op.create_index("run_labels_by_run", "run_labels", ["run_id"])


def downgrade() -> None:
    """Forget all labels."""
    op.drop_table("run_labels")
    op.drop_column("runs", "labels")
