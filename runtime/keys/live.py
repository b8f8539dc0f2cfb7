"""Secrets that running sandboxes have from the vault: a change reaches them before it is told as done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

import structlog

from runtime.model.secret import Secret

Apply = Callable[[str, Secret | None], Awaitable[object]]
"""Gives a run's sandbox another value of a secret, or takes it away (None)."""


@dataclass
class _Watched:
    workspace: str
    names: frozenset[str]
    apply: Apply | None = None
    waiting: dict[str, Secret | None] = field(default_factory=dict)
    """Changes since the vault was read, until there is a sandbox to tell."""


class LiveSecrets:
    """Which run asked the vault for what."""

    def __init__(self) -> None:
        self._runs: dict[str, _Watched] = {}

    def watch(self, run_id: str, workspace: str, names: Collection[str]) -> None:
        """From before the vault is read for this run, so that no change falls between."""
        self._runs[run_id] = _Watched(workspace, frozenset(names))

    async def attach(self, run_id: str, apply: Apply) -> None:
        """The run has its sandbox; what has changed meanwhile is applied first. Raises as `apply` does."""
        watched = self._runs.get(run_id)
        if watched is None:
            return
        watched.apply = apply
        while watched.waiting:
            name = next(iter(watched.waiting))
            await apply(name, watched.waiting.pop(name))

    def names_of(self, run_id: str) -> frozenset[str]:
        """What the run asked the vault for."""
        watched = self._runs.get(run_id)
        return frozenset() if watched is None else watched.names

    def forget(self, run_id: str) -> None:
        """Renew nothing more for a run that is over."""
        self._runs.pop(run_id, None)

    async def changed(self, workspace: Collection[str], name: str, value: Secret | None) -> None:
        """A secret of the workspace (its id and its name) was set, or deleted (None).

        A sandbox that cannot be told has lost the old value, or its proxy, by then: that is logged.
        """
        for run_id, watched in list(self._runs.items()):
            if watched.workspace not in workspace or name not in watched.names:
                continue
            if watched.apply is None:
                watched.waiting[name] = value
                continue
            try:
                await watched.apply(name, value)
            except Exception as exc:  # noqa: BLE001 - the others must be told
                structlog.get_logger().error(
                    "secret-not-renewed", run=run_id, name=name, error=type(exc).__name__
                )
