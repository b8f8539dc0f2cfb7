"""How a daemon stops: it takes no more runs, lets those that it has go on for a while, then ends them.

Only then the API ends, so that whoever follows a run is told its end, and its stream is complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog


class Stoppable(Protocol):
    """A run service, as far as its end goes."""

    def refuse_runs(self, *, patience_s: float) -> None:
        """From now on no run begins; those that there are have so long."""

    async def until_idle(self) -> None:
        """Return once no run is left."""

    async def end_runs(self) -> None:
        """End every run and wait for its clean-up."""


class Stopping:
    """One daemon's way to its end: `ask` begins it, and asked again it waits no longer."""

    def __init__(
        self,
        service: Stoppable,
        *,
        patience_s: float,
        on_begin: Callable[[], None],
        on_idle: Callable[[], None],
    ) -> None:
        """`on_begin` is called as it begins, and `on_idle` when no run is left."""
        self._service = service
        self._patience_s = patience_s
        self._on_begin = on_begin
        self._on_idle = on_idle
        self._hurried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger()

    def ask(self) -> None:
        """Stop; the second time, at once."""
        if self._task is None:
            self._task = asyncio.create_task(self._stop())
        else:
            self._hurried.set()

    async def _stop(self) -> None:
        try:
            self._log.info("stopping", patience_s=self._patience_s)
            self._service.refuse_runs(patience_s=self._patience_s)
            self._on_begin()
            if self._patience_s:
                await self._wait()
            await self._service.end_runs()
        except Exception as exc:  # noqa: BLE001 - whatever it is, the daemon ends
            self._log.error("not-stopped-in-order", error=type(exc).__name__)
        finally:
            self._on_idle()

    async def _wait(self) -> None:
        waits = [asyncio.create_task(self._service.until_idle()), asyncio.create_task(self._hurried.wait())]
        try:
            await asyncio.wait(waits, timeout=self._patience_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
