"""runtime.daemon.stopping: runs are refused, then waited for, then ended, and the daemon ends whatever happens."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from runtime.daemon.stopping import Stopping

LIMIT_S = 20.0


class Service:
    """What a stop does to a run service, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.idle = asyncio.Event()
        self.waits = asyncio.Event()
        self.error: Exception | None = None

    def refuse_runs(self, *, patience_s: float) -> None:
        self.done.append(f"refuse {patience_s:g}")

    async def until_idle(self) -> None:
        self.waits.set()
        await self.idle.wait()
        self.done.append("idle")

    async def end_runs(self) -> None:
        self.done.append("end")
        if self.error is not None:
            raise self.error


def stop(service: Service, patience_s: float) -> tuple[Stopping, asyncio.Event]:
    """One that has been asked for, and its end."""
    ended = asyncio.Event()
    stopping = Stopping(
        service, patience_s=patience_s, on_begin=lambda: service.done.append("begin"), on_idle=ended.set
    )
    stopping.ask()
    return stopping, ended


async def test_without_patience_runs_are_ended_at_once():
    """The default; and not before new ones are refused."""
    service = Service()
    _, ended = stop(service, 0)
    await asyncio.wait_for(ended.wait(), LIMIT_S)
    assert service.done == ["refuse 0", "begin", "end"]


async def test_runs_are_waited_for():
    """And nothing longer than they take."""
    service = Service()
    _, ended = stop(service, 3600)
    await asyncio.wait_for(service.waits.wait(), LIMIT_S)
    assert not ended.is_set()
    service.idle.set()
    await asyncio.wait_for(ended.wait(), LIMIT_S)
    assert service.done == ["refuse 3600", "begin", "idle", "end"]


async def test_they_are_not_waited_for_for_ever():
    """What goes on after that time is ended."""
    service = Service()
    _, ended = stop(service, 0.01)
    await asyncio.wait_for(ended.wait(), LIMIT_S)
    assert service.done == ["refuse 0.01", "begin", "end"]


async def test_asked_again_it_waits_no_longer():
    """A second signal, or Ctrl-C."""
    service = Service()
    stopping, ended = stop(service, 3600)
    await asyncio.wait_for(service.waits.wait(), LIMIT_S)
    stopping.ask()
    await asyncio.wait_for(ended.wait(), LIMIT_S)
    assert service.done == ["refuse 3600", "begin", "end"]


@pytest.mark.parametrize("kind", [OSError, ValueError])
async def test_a_service_that_fails_does_not_keep_the_daemon(kind: type[Exception]):
    """It ends, and its log says that the end was not in order, without what the error says."""
    service = Service()
    service.error = kind("a value of this test")
    with capture_logs() as logs:
        _, ended = stop(service, 0)
        await asyncio.wait_for(ended.wait(), LIMIT_S)
    assert [line.get("error") for line in logs] == [None, kind.__name__]
