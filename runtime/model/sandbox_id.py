"""The one place that turns a run's id into the id of its sandbox, as grants and decision lines have it."""

from __future__ import annotations


def sandbox_id_of(run_id: str) -> str:
    """The id under which a run's sandbox is granted: the run's own, since a run has one sandbox."""
    return run_id


def run_id_of(sandbox_id: str) -> str:
    """The run whose sandbox the proxy names so."""
    return sandbox_id
