"""The tables of runs, as the migrations make them, and a run as their rows."""

from __future__ import annotations

import dataclasses
from typing import Any

import sqlalchemy as sa

from runtime.model.limits import Isolation
from runtime.model.run import Run, RunError, RunState, RunSummary
from runtime.runs.json_column import RESULT

_any_text = sa.Text().with_variant(sa.JSON(), "postgresql")
"""What an agent wrote may hold NUL, which only PostgreSQL's JSON can carry."""
metadata = sa.MetaData()
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    *(sa.Column(name, sa.Text) for name in ("agent_ref", "policy_name", "isolation", "state")),
    *(sa.Column(name, sa.Float) for name in ("created_at", "started_at", "finished_at")),
    sa.Column("error", sa.JSON),
    *(sa.Column(name, sa.Text) for name in ("owner", "workspace")),
    sa.Column("labels", sa.JSON),
    *(sa.Column(name, sa.Integer) for name in ("bytes", "omitted_decisions")),
)
outputs = sa.Table(
    "run_outputs",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("result", RESULT),
    *(sa.Column(name, _any_text) for name in ("stdout", "stderr")),
)
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.Text),
    sa.Column("line", sa.JSON),
)
labels = sa.Table(
    "run_labels",
    metadata,
    *(sa.Column(name, sa.Text, primary_key=True) for name in ("key", "value")),
    sa.Column("created_at", sa.Float, primary_key=True),
    sa.Column("run_id", sa.Text, primary_key=True),
)
installations = sa.Table(
    "installations",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("seen_at", sa.Float),
)
SUMMARY = [runs.c[field.name] for field in dataclasses.fields(RunSummary)]
"""What a list shows, and all that it reads."""
WHOLE = [*SUMMARY, *(outputs.c[name] for name in ("result", "stdout", "stderr"))]


def summary_row(run: Run) -> dict[str, object]:
    """A run without what the agent wrote."""
    row = {field.name: getattr(run, field.name) for field in dataclasses.fields(RunSummary)}
    row["isolation"], row["state"] = run.isolation.value, run.state.value
    row["error"] = dataclasses.asdict(run.error) if run.error else None
    return row


def label_rows(run: Run) -> list[dict[str, object]]:
    """A row for each label, by which the run is found."""
    fixed = {"created_at": run.created_at, "run_id": run.id}
    return [{"key": key, "value": value, **fixed} for key, value in run.labels.items()]


def output_row(run: Run) -> tuple[dict[str, object], int]:
    """What the agent wrote, and how many bytes of text it is."""
    size = len(run.result.data if run.result else b"") + len(run.stdout) + len(run.stderr)
    return {"run_id": run.id, "result": run.result, "stdout": run.stdout, "stderr": run.stderr}, size


def to_summary(row: Any) -> RunSummary:
    """A run of a list."""
    return RunSummary(**_values(row))


def to_run(row: Any) -> Run:
    """A run with its output; one that has not ended has none yet."""
    values = _values(row)
    return Run(**{**values, "stdout": values["stdout"] or "", "stderr": values["stderr"] or ""})


def _values(row: Any) -> dict[str, Any]:
    values = dict(row)
    values["isolation"], values["state"] = Isolation(values["isolation"]), RunState(values["state"])
    values["error"] = RunError(**values["error"]) if values["error"] else None
    return values
