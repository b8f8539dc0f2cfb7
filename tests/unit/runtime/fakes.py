"""In-memory stand-ins for the run service's seams."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proxy.contract.grant import Grant
from runtime.engine.protocol import Engine
from runtime.errors import NotReadyError
from runtime.keeper.folder import KeeperFolder, folder_of, folders
from runtime.keeper.keeper import Keeper
from runtime.keeper.link import KeeperLink, open_link
from runtime.model.run import Run, RunError, RunState, RunSummary
from runtime.model.run_query import RunPage, RunQuery
from runtime.model.secret import Secret
from runtime.runs.ports import Also


class MemoryStore:
    """A `ports.StorePort`."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.lines: dict[str, list[dict[str, Any]]] = {}

    async def create(self, run: Run, also: Also | None = None) -> None:
        """Keep a run."""
        if also is not None:
            also(None, run)
        self.runs[run.id] = run

    async def update(self, run: Run) -> None:
        """Replace a run."""
        assert run.id in self.runs
        self.runs[run.id] = run

    async def get(self, run_id: str) -> Run | None:
        """A run, or None."""
        return self.runs.get(run_id)

    async def summary(self, run_id: str) -> RunSummary | None:
        """A run without what the agent wrote, or None."""
        run = self.runs.get(run_id)
        return None if run is None else run.summary()

    async def named(self, ref: str, workspace: str | None) -> list[RunSummary]:
        """The run of an id."""
        run = self.runs.get(ref)
        return [run.summary()] if run is not None and workspace in {None, run.workspace} else []

    async def page(self, query: RunQuery) -> RunPage:
        """The newest first."""
        found = [run.summary() for run in reversed(self.runs.values())]
        return RunPage([run for run in found if query.filter.takes(run)][: query.limit], None)

    async def adopt(self, run_id: str) -> int:
        """How many lines there are."""
        return len(self.lines.get(run_id, []))

    async def fail_unfinished(self, reason: str, *, but: Collection[str] = ()) -> int:
        """Fail what has not ended."""
        stale = [run for run in self.runs.values() if not run.state.is_final and run.id not in but]
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
    """A `ports.LinkPort`, and the proxy behind it, which acknowledges at once."""

    def __init__(self) -> None:
        self.on_lost: Callable[[], None] = lambda: None
        self.is_connected = True
        self.workers: dict[str, FakeWorker] = {}
        """By the sandbox that they hold the grant of."""
        self.log: list[str] = []
        self.before_grant: Callable[[], Awaitable[None]] | None = None
        self.revoke_error: Exception | None = None

    @property
    def grants(self) -> dict[str, Grant]:
        """What is enforced, by sandbox."""
        return {sandbox: worker.held for sandbox, worker in self.workers.items() if worker.held is not None}

    def on_decision(self, line: dict[str, Any]) -> None:
        """The worker of a sandbox decides."""
        self.workers[line["sandbox_id"]].on_decision(line)

    async def open(self, _address: str) -> FakeWorker:
        """A worker without a grant."""
        return FakeWorker(self)

    @asynccontextmanager
    async def listening(self, _address: str) -> AsyncIterator[None]:
        """At once."""
        yield

    def lose(self) -> None:
        """The connection breaks."""
        self.is_connected = False
        self.workers.clear()
        self.on_lost()


class FakeWorker:
    """A `ports.WorkerPort`."""

    ca_pem = "the CA"

    def __init__(self, link: FakeLink) -> None:
        self._link = link
        self.held: Grant | None = None
        self.on_decision: Callable[[dict[str, Any]], None] = lambda _line: None
        self.on_lost: Callable[[], None] = lambda: None

    async def grant(self, grant: Grant) -> None:
        """Acknowledge."""
        if self._link.before_grant is not None:
            await self._link.before_grant()
        if not self._link.is_connected:
            raise NotReadyError("the egress proxy is not connected")
        self.held = grant
        self._link.workers[grant.sandbox_id] = self
        self._link.log.append("grant")

    async def revoke(self, sandbox_id: str) -> None:
        """Forget."""
        self._link.workers.pop(sandbox_id, None)
        self._link.log.append("revoke")
        if self._link.revoke_error is not None:
            raise self._link.revoke_error

    async def close(self) -> None:
        """It ends."""


class FakeKeepers:
    """A `nursery.KeepersPort` whose keepers live in this process; they are as real as the engine is."""

    def __init__(self, home: Path, engine: Engine, link: FakeLink, *, grace_s: float = 60.0) -> None:
        self._home = home
        self._engine = engine
        self._link = link
        self.grace_s = grace_s
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.links: list[KeeperLink] = []

    async def open(self, run_id: str) -> KeeperLink:
        """A keeper, over a socket of its own."""
        folder = folder_of(self._home, run_id)
        listener = folder.listen()
        keeper = Keeper(folder, engine=self._engine, open_worker=self._link.open, grace_s=self.grace_s)
        self.tasks[run_id] = asyncio.create_task(keeper.serve(listener))
        self.links.append(await open_link(folder))
        return self.links[-1]

    def left(self) -> list[KeeperFolder]:
        """The folders that there are."""
        return folders(self._home)

    async def adopt(self, folder: KeeperFolder) -> KeeperLink | None:
        """The way to a keeper that lives."""
        with contextlib.suppress(OSError):
            return await open_link(folder)
        return None

    async def close(self) -> None:
        """Whatever became of them."""
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
