"""In-memory stand-ins for the run service's seams."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from proxy.policy.grant import Grant
from runtime.errors import NotFoundError, NotReadyError
from runtime.model import Run, RunError, RunState, Secret


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

    async def recent(self, limit: int) -> list[Run]:
        """The newest first."""
        return list(reversed(self.runs.values()))[:limit]

    async def fail_unfinished(self, reason: str) -> int:
        """Fail what has not ended."""
        stale = [run for run in self.runs.values() if not run.state.is_final]
        for run in stale:
            error = RunError("INTERNAL_ERROR", reason)
            self.runs[run.id] = dataclasses.replace(run, state=RunState.FAILED, error=error)
        return len(stale)

    async def add_decision(self, run_id: str, line: dict[str, Any]) -> None:
        """Keep a line."""
        self.lines.setdefault(run_id, []).append(line)

    async def decisions(self, run_id: str) -> list[dict[str, Any]]:
        """A run's lines."""
        return self.lines.get(run_id, [])


class FakeVault:
    """A `ports.VaultPort` with the secrets a test has set: `secrets[workspace][name]`."""

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, str]] = {"default": {}}
        self.reads: list[tuple[str, str, str]] = []
        """Reader, name, run: as the real one audits."""
        self.error: Exception | None = None
        """Raised by `read`."""

    async def read(
        self, workspace: str, names: Collection[str], *, run_id: str, reader: str
    ) -> dict[str, Secret]:
        """Those that there are."""
        if self.error is not None:
            raise self.error
        if workspace not in self.secrets:
            raise NotFoundError("no such workspace")
        found = {name: Secret(value) for name, value in self.secrets[workspace].items() if name in names}
        self.reads += [(reader, name, run_id) for name in found]
        return found


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
