"""A run's id and its sandbox's: each is found from the other."""

from __future__ import annotations

from runtime.model.sandbox_id import run_id_of, sandbox_id_of


def test_a_run_is_found_by_its_sandbox() -> None:
    """What the proxy says of a sandbox is about the run that it was granted for."""
    assert run_id_of(sandbox_id_of("run-1")) == "run-1"
