"""Runs and the proxy's decisions on them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_any_text = sa.Text().with_variant(sa.JSON(), "postgresql")
"""May hold NUL, which PostgreSQL's text cannot."""
_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables of runs and of their decisions."""
    op.create_table(
        "runs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("agent_ref", sa.Text, nullable=False),
        sa.Column("policy_name", sa.Text, nullable=False),
        sa.Column("isolation", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, index=True),
        sa.Column("created_at", sa.Float, nullable=False, index=True),
        sa.Column("started_at", sa.Float),
        sa.Column("finished_at", sa.Float),
        sa.Column("result", sa.JSON),
        sa.Column("error", sa.JSON),
        sa.Column("stdout", _any_text, nullable=False),
        sa.Column("stderr", _any_text, nullable=False),
    )
    op.create_table(
        "decisions",
        sa.Column("seq", _number, primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), nullable=False, index=True),
        sa.Column("line", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    """Remove the tables of runs and of their decisions."""
    op.drop_table("decisions")
    op.drop_table("runs")
