"""What an agent wrote, in a table of its own: a list of runs reads none of it.

In SQLite a row's columns lie one behind the other, so that whatever stood behind a result of 10 MB was
read through all of it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_any_text = sa.Text().with_variant(sa.JSON(), "postgresql")
_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OUTPUT = ("result", "stdout", "stderr")


def upgrade() -> None:
    """Move results and logs out of the runs, and note how many bytes each run takes."""
    op.create_table(
        "run_outputs",
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("result", sa.JSON),
        sa.Column("stdout", _any_text, nullable=False),
        sa.Column("stderr", _any_text, nullable=False),
    )
    op.add_column("runs", sa.Column("bytes", _number, nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("omitted_decisions", sa.Integer, nullable=False, server_default="0"))
    size = " + ".join(f"COALESCE(LENGTH(CAST({name} AS TEXT)), 0)" for name in _OUTPUT)
    op.execute(f"UPDATE runs SET bytes = {size}")  # noqa: S608 - names of our own
    op.execute(
        "INSERT INTO run_outputs (run_id, result, stdout, stderr) SELECT id, result, stdout, stderr FROM runs"
    )
    for name in _OUTPUT:
        op.drop_column("runs", name)


def downgrade() -> None:
    """Move results and logs back into the runs."""
    op.add_column("runs", sa.Column("result", sa.JSON))
    for name in ("stdout", "stderr"):
        op.add_column("runs", sa.Column(name, _any_text, nullable=False, server_default=sa.text("'\"\"'")))
    for name in _OUTPUT:
        op.execute(
            f"UPDATE runs SET {name} = (SELECT {name} FROM run_outputs WHERE run_id = runs.id)"  # noqa: S608
            " WHERE id IN (SELECT run_id FROM run_outputs)"
        )
    for name in ("bytes", "omitted_decisions"):
        op.drop_column("runs", name)
    op.drop_table("run_outputs")
