"""The SQL of lists of runs. Each of them walks an index in the list's own order, and reads no output."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from runtime.model.run_query import PREFIX_DIGITS, Position, RunFilter, RunQuery, is_id_prefix
from runtime.runs.tables import SUMMARY, labels, runs


def page(query: RunQuery) -> sa.Select[Any]:
    """The rows of a page, and one more where the list goes on."""
    which = query.filter
    selected = sa.select(*SUMMARY).where(*_conditions(which))
    created_at, run_id = runs.c.created_at, runs.c.id
    for number, (key, value) in enumerate(sorted(which.labels.items())):
        named = labels.alias(f"label{number}")
        selected = selected.join(named, named.c.run_id == runs.c.id).where(
            named.c.key == key, named.c.value == value
        )
        if not number:  # the order is that of the label's own index
            created_at, run_id = named.c.created_at, named.c.run_id
    if which.created_after is not None:
        selected = selected.where(created_at > which.created_after)
    if query.after is not None:
        selected = selected.where(_behind(created_at, run_id, query.after))
    return selected.order_by(created_at.desc(), run_id.desc()).limit(query.limit + 1)


def named(ref: str, workspace: str | None) -> sa.Select[Any]:
    """The run of this id, or those whose ids begin so, two at most: a second one makes it ambiguous."""
    if is_id_prefix(ref, at_least=PREFIX_DIGITS):
        meant = _conditions(RunFilter(workspace=workspace, id_prefix=ref))
    else:
        # Nothing has an id with NUL, and asking PostgreSQL for one is an error.
        meant = [
            *_conditions(RunFilter(workspace=workspace)),
            runs.c.id == (ref if ref.isprintable() else ""),
        ]
    return sa.select(*SUMMARY).where(*meant).order_by(runs.c.id).limit(2)


def _conditions(which: RunFilter) -> list[sa.ColumnElement[bool]]:
    wanted = (
        (runs.c.workspace, which.workspace),
        (runs.c.state, None if which.state is None else which.state.value),
        (runs.c.agent_ref, which.agent),
        (runs.c.policy_name, which.policy),
    )
    found: list[sa.ColumnElement[bool]] = [column == want for column, want in wanted if want is not None]
    if which.id_prefix is not None:
        # Not LIKE: with a range the primary key's index is walked, in either database.
        end = which.id_prefix[:-1] + chr(ord(which.id_prefix[-1]) + 1)
        found += [runs.c.id >= which.id_prefix, runs.c.id < end]
    return found


def _behind(
    created_at: sa.ColumnElement[float], run_id: sa.ColumnElement[str], last: Position
) -> sa.ColumnElement[bool]:
    return sa.tuple_(created_at, run_id) < sa.tuple_(sa.literal(last.created_at), sa.literal(last.run_id))
