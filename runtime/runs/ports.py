"""The seams of the run service: what it needs of others, and what the API needs of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from typing import Any, Protocol

from proxy.contract.decision_line import DecisionLine
from proxy.policy.model import Policy
from runtime.model.needs import LlmSpent
from runtime.model.run import Event, Run, RunRequest, RunSummary
from runtime.model.run_query import RunPage, RunQuery
from runtime.model.secret import Secret
from runtime.runs.readiness import Check

type Also = Callable[[Any, Run], None]
"""Writes more in the transaction that records a run, on its connection. What it raises undoes both."""


class StorePort(Protocol):
    """Where runs and their decisions are recorded (`runs.store.Store`)."""

    async def create(self, run: Run, also: Also | None = None) -> None:
        """Record a run that has just been accepted, and what `also` writes, both or neither."""

    async def update(self, run: Run) -> None:
        """Record a run's new state."""

    async def get(self, run_id: str) -> Run | None:
        """A run by id, or None."""

    async def named(self, ref: str, workspace: str | None) -> list[RunSummary]:
        """The run of an id, or those whose ids begin so: two at most, of one workspace or of all."""

    async def page(self, query: RunQuery) -> RunPage:
        """A page of a list, the newest first."""

    async def adopt(self, run_id: str) -> int:
        """Go on with a run that an earlier daemon began; how many of its decisions are recorded."""

    async def fail_unfinished(self, reason: str, *, but: Collection[str] = ()) -> int:
        """Mark what a dead daemon of this installation left unfinished as failed, but for these; how many."""

    async def fail_abandoned(self, reason: str) -> int:
        """Note that this installation is at work; fail what one left that is gone for good; how many."""

    async def prune(self, before: float, max_bytes: int, *, is_dry: bool) -> tuple[int, int]:
        """Remove finished runs that ended before this, and the oldest beyond so many bytes.

        How many runs, and how many bytes they took. With `is_dry` nothing is removed.
        """

    async def add_decision(self, run_id: str, line: DecisionLine) -> None:
        """Record one decision of the proxy."""

    async def decisions(self, run_id: str) -> list[DecisionLine]:
        """A run's decisions in order."""


class VaultPort(Protocol):
    """Where the secrets of workspaces are kept (`runtime.vault.service.Vault`)."""

    async def read(
        self, workspace: str, names: Collection[str], *, run_id: str, reader: str
    ) -> dict[str, Secret]:
        """The values of those of `names` that the workspace has; each is audited (who, name, run).

        Raises NotFoundError (no such workspace), VaultKeyError.
        """


class LlmPort(Protocol):
    """The LLM router's side of a run (`runtime.llm.door.LlmRoutes`)."""

    def open(
        self,
        run_id: str,
        request: RunRequest,
        policy: Policy,
        on_event: Callable[[str, dict[str, object]], None],
        spent: LlmSpent,
    ) -> Policy:
        """The run's policy, with the router's name in it where its manifest has a chain.

        What was spent under an earlier daemon counts against its budgets.
        """

    def replace_secret(self, run_id: str, name: str, value: Secret | None) -> None:
        """Another key from the next call on, or none."""

    async def close(self, run_id: str) -> None:
        """The run is over: no call of it goes on."""


class RunServicePort(Protocol):
    """Runs agents. The errors are `runtime.errors`."""

    async def create(self, request: RunRequest, also: Also | None = None) -> Run:
        """Start a run, which is recorded together with what `also` writes.

        Raises NotReadyError, StoppingError, NotFoundError (image, policy), InvalidInputError,
        MissingSecretsError, LlmKeyRequiredError.
        """

    async def get(self, run_id: str) -> Run:
        """Get a run's record. Raises NotFoundError."""

    async def find(self, ref: str, workspace: str | None = None) -> RunSummary:
        """Get a run by its id or seven digits of it, among those of one workspace or of all.

        Raises NotFoundError, and InvalidInputError where several ids begin so.
        """

    async def page(self, query: RunQuery) -> RunPage:
        """A page of a list of runs, the newest first."""

    async def cancel(self, run_id: str) -> Run:
        """End a run. Raises NotFoundError, ConflictError where it has ended."""

    async def ended(self, run_id: str) -> None:
        """Wait for the end of a run that has not ended."""

    async def goes_on(self, run_id: str, after: int) -> bool:
        """Whether there is an event behind `after`, or will be; not where that was the last, `end`.

        Raises GoneError where those behind it are no longer kept.
        """

    def events(self, run_id: str, after: int = 0) -> AsyncIterator[Event]:
        """Replay the events behind `after`, then follow until the run has ended."""

    async def decisions(self, run_id: str) -> list[DecisionLine]:
        """The proxy's decisions on this run."""

    async def checks(self) -> list[Check]:
        """Engine, proxy and guard; ready means all are ok."""
