"""Keys of requests that may be sent again, each with the answer that was given."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table. No foreign keys: an answer is kept for longer than what it tells of may be."""
    op.create_table(
        "idempotency_keys",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("workspace", "caller", "route", "key")),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("body_hash", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("response", sa.Text, nullable=False),
        sa.Column("location", sa.Text),
        sa.Column("created_at", sa.Float, nullable=False, index=True),
    )


def downgrade() -> None:
    """Forget all keys."""
    op.drop_table("idempotency_keys")
