"""In-memory stand-ins for the run service's seams."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from proxy.contract.grant import Grant
from runtime.errors import NotReadyError
from runtime.model.run import Run, RunError, RunState, RunSummary
from runtime.model.secret import Secret


class MemoryStore:
    """A `ports.StorePort`."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.lines: dict[str, list[dict[str, Any]]] = {}

    async def create(self, run: Run) -> None:
        """Keep a run."""
        self.runs[run.id] = run

    async def update(self, run: Run) -> None:
        """Replace a run."""
        assert run.id in self.runs
        self.runs[run.id] = run

    async def get(self, run_id: str) -> Run | None:
        """A run, or None."""
        return self.runs.get(run_id)

    async def recent(self, limit: int) -> list[RunSummary]:
        """The newest first."""
        return [run.summary() for run in reversed(self.runs.values())][:limit]

    async def fail_unfinished(self, reason: str) -> int:
        """Fail what has not ended."""
        stale = [run for run in self.runs.values() if not run.state.is_final]
        for run in stale:
            error = RunError("INTERNAL_ERROR", reason)
            self.runs[run.id] = dataclasses.replace(run, state=RunState.FAILED, error=error)
        return len(stale)

    async def fail_abandoned(self, reason: str) -> int:
        """Nobody shares this store."""
        return 0

    async def prune(self, before: float, max_bytes: int, *, is_dry: bool) -> tuple[int, int]:
        """Remove what ended before this; each run takes one byte."""
        old = [run.id for run in self.runs.values() if run.state.is_final and (run.finished_at or 0) < before]
        for run_id in [] if is_dry else old:
            del self.runs[run_id]
        return len(old), len(old)

    async def add_decision(self, run_id: str, line: dict[str, Any]) -> None:
        """Keep a line."""
        self.lines.setdefault(run_id, []).append(line)

    async def decisions(self, run_id: str) -> list[dict[str, Any]]:
        """A run's lines."""
        return self.lines.get(run_id, [])


class FakeVault:
    """A `ports.VaultPort` in memory."""

    def __init__(self, **secrets: str) -> None:
        self.workspaces: dict[str, dict[str, str]] = {"default": secrets}
        self.reads: list[tuple[str, set[str], str, str]] = []
        """Workspace, names, run and reader of every call."""
        self.error: Exception | None = None

    async def read(
        self, workspace: str, names: Collection[str], *, run_id: str, reader: str
    ) -> dict[str, Secret]:
        """What the workspace has of these names."""
        self.reads.append((workspace, set(names), run_id, reader))
        if self.error is not None:
            raise self.error
        found = self.workspaces.get(workspace, {})
        return {name: Secret(found[name]) for name in names if name in found}


class FakeLink:
    """A `ports.LinkPort` whose proxy acknowledges at once."""

    def __init__(self) -> None:
        self.on_decision: Callable[[dict[str, Any]], None] = lambda _line: None
        self.on_lost: Callable[[], None] = lambda: None
        self.is_connected = True
        self.ca_pem = "the CA"
        self.grants: dict[str, Grant] = {}
        self.log: list[str] = []
        self.before_grant: Callable[[], Awaitable[None]] | None = None
        self.revoke_error: Exception | None = None

    async def grant(self, grant: Grant) -> None:
        """Acknowledge."""
        if self.before_grant is not None:
            await self.before_grant()
        if not self.is_connected:
            raise NotReadyError("the egress proxy is not connected")
        self.grants[grant.sandbox_id] = grant
        self.log.append("grant")

    async def revoke(self, sandbox_id: str) -> None:
        """Forget."""
        self.grants.pop(sandbox_id, None)
        self.log.append("revoke")
        if self.revoke_error is not None:
            raise self.revoke_error

    def lose(self) -> None:
        """The connection breaks."""
        self.is_connected = False
        self.grants.clear()
        self.on_lost()
