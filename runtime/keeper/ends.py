"""Why runs are ended from outside, and which of them may be interrupted at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from runtime.errors import (
    GuardLostError,
    InternalError,
    InterruptedRunError,
    NetworkChangedError,
    ProxyLostError,
)
from runtime.model.run import RunError

CANCELLED = RunError(InterruptedRunError.code, "the run was cancelled")
DAEMON_STOPPED = RunError(InterruptedRunError.code, "the daemon was stopped")
PROXY_LOST = RunError(
    ProxyLostError.code,
    "the egress proxy went away while the agent ran: it had no way out any more and was stopped",
)
WORKER_LOST = RunError(
    ProxyLostError.code,
    "the run's own process at the egress proxy ended while the agent ran (it failed, or its memory was used "
    "up): the agent had no way out any more and was stopped",
)
GUARD_LOST = RunError(
    GuardLostError.code, "the host guard was changed or removed while the agent ran, so the agent was stopped"
)
NETWORK_CHANGED = RunError(
    NetworkChangedError.code,
    "the sandbox was connected to another network while the agent ran, so it was stopped",
)
NETWORK_UNKNOWN = RunError(
    NetworkChangedError.code, "the engine did not say which networks the sandbox was on, so it was stopped"
)
DAEMON_GONE = RunError(
    InternalError.code, "the daemon went away while the agent ran and did not come back, so it was stopped"
)
HANDOVER_BROKEN = RunError(
    InternalError.code, "the daemon went away before it had handed over the agent's files and input"
)
JOURNAL_BROKEN = RunError(
    InternalError.code, "the run's journal could not be written (is the disk full?), so the agent was stopped"
)
KEEPER_LOST = RunError(
    InternalError.code,
    "the process that kept the run ended before the run did (it failed, its memory was used up, or it was"
    " killed with the daemon): start it again",
)
_WITHOUT_GRACE = (GUARD_LOST, NETWORK_CHANGED, NETWORK_UNKNOWN)
"""The sandbox may reach what it must not: it is killed at once."""


@dataclass(slots=True)
class _Live:
    task: asyncio.Task[None]
    is_interruptible: bool = False
    """Between the task's first step and its end; at any other time an end is only noted."""
    why: RunError | None = None


class Ends:
    """The runs that live, each with its task and the first reason to end it."""

    def __init__(self) -> None:
        self._lives: dict[str, _Live] = {}

    def __contains__(self, run_id: object) -> bool:
        """Whether this run lives: it is accepted, and not yet recorded and cleaned up."""
        return run_id in self._lives

    def watch(self, run_id: str, task: asyncio.Task[None]) -> None:
        """A run lives from now on."""
        self._lives[run_id] = _Live(task)

    def begin(self, run_id: str) -> None:
        """The task's first step. Raises CancelledError where the run was ended before it."""
        live = self._lives[run_id]
        live.is_interruptible = True
        if live.why is not None:  # a task that is cancelled before its first step would never take one
            raise asyncio.CancelledError

    def leave(self, run_id: str) -> None:
        """The run has ended and is being recorded: nothing interrupts it any more."""
        self._lives[run_id].is_interruptible = False

    def forget(self, run_id: str) -> None:
        """Keep nothing more of a run that is over."""
        self._lives.pop(run_id, None)

    def note(self, run_id: str, error: RunError) -> bool:
        """Keep the reason, for a task that ends by itself; whether it is the first."""
        live = self._lives.get(run_id)
        if live is None or live.why is not None:
            return False
        live.why = error
        return True

    def end(self, run_id: str, error: RunError) -> None:
        """End a run for this reason. Nothing where it has ended, or is being ended for another."""
        if self.note(run_id, error) and self._lives[run_id].is_interruptible:
            self._lives[run_id].task.cancel()

    def end_all(self, error: RunError) -> None:
        """End every run for this reason."""
        for run_id in list(self._lives):
            self.end(run_id, error)

    def why(self, run_id: str) -> RunError:
        """Why the run was ended from outside."""
        live = self._lives.get(run_id)
        return CANCELLED if live is None or live.why is None else live.why

    def grace_s(self, run_id: str, usual_s: float) -> float:
        """How many seconds the agent has between SIGTERM and SIGKILL."""
        return 0.0 if self.why(run_id) in _WITHOUT_GRACE else usual_s

    async def wait(self, run_id: str) -> None:
        """Return once the run is over."""
        if (live := self._lives.get(run_id)) is not None:
            await asyncio.gather(live.task, return_exceptions=True)

    async def until_none(self) -> None:
        """Return once no run lives."""
        while self._lives:
            await asyncio.wait([live.task for live in self._lives.values()])

    async def close(self) -> None:
        """End every run and wait for its clean-up."""
        self.end_all(DAEMON_STOPPED)
        await asyncio.gather(*(live.task for live in self._lives.values()), return_exceptions=True)
