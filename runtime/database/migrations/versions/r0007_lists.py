"""Indexes in the order of lists, the newest run first, with and without each filter.

On PostgreSQL ids are compared byte by byte from here on: in the order of a language, where `-` counts for
nothing, a range of ids would not be what begins with a prefix.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ORDER = ["created_at", "id"]
_FILTERS = ("workspace", "state", "agent_ref", "policy_name")


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def upgrade() -> None:
    """Put each index in the place of the one that it includes."""
    if _is_postgresql():
        op.execute('ALTER TABLE runs ALTER COLUMN id TYPE text COLLATE "C"')
    for name in ("ix_runs_created_at", "ix_runs_state", "runs_by_workspace"):
        op.drop_index(name, "runs")
    op.create_index("runs_in_order", "runs", _ORDER)
    for name in _FILTERS:
        op.create_index(f"runs_in_order_by_{name}", "runs", [name, *_ORDER])


def downgrade() -> None:
    """Make the earlier indexes anew."""
    for name in _FILTERS:
        op.drop_index(f"runs_in_order_by_{name}", "runs")
    op.drop_index("runs_in_order", "runs")
    op.create_index("runs_by_workspace", "runs", ["workspace", "created_at"])
    op.create_index("ix_runs_state", "runs", ["state"])
    op.create_index("ix_runs_created_at", "runs", ["created_at"])
    if _is_postgresql():
        op.execute('ALTER TABLE runs ALTER COLUMN id TYPE text COLLATE "default"')
