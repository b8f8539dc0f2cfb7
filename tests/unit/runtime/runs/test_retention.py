"""Pruning by the operator's rules, on demand and every hour."""

from __future__ import annotations

import asyncio
import time

import pytest

from runtime.errors import NotReadyError
from runtime.model.limits import Isolation
from runtime.model.retention import KeepRules, Pruned
from runtime.model.run import Run, RunState
from runtime.runs import retention as retention_module
from runtime.runs.retention import DAY_S, Retention
from tests.unit.runtime.fakes import MemoryStore


class Audit:
    """The vault's and the daemon's, that note what they are asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, bool]] = []

    async def prune_audit(self, before: float, *, is_dry: bool) -> int:
        """Five lines are old."""
        self.asked.append((before, is_dry))
        return 5

    async def prune(self, before: float, *, is_dry: bool) -> int:
        """Two more."""
        self.asked.append((before, is_dry))
        return 2


async def fill(store: MemoryStore) -> None:
    """Runs of 29 and of 31 days ago, and one of then that goes on."""
    for name, days, state in (
        ("new", 29, RunState.COMPLETED),
        ("old", 31, RunState.FAILED),
        ("on", 31, RunState.RUNNING),
    ):
        at = time.time() - days * DAY_S
        ended = at if state.is_final else None
        await store.create(Run(name, "a", "p", Isolation.RUNC, state, at, finished_at=ended))


@pytest.mark.parametrize("is_dry", [True, False])
async def test_what_is_beyond_the_bounds_goes(*, is_dry: bool):
    """Runs after thirty days, the audit after a year; a dry run removes nothing and says the same."""
    store, audit = MemoryStore(), Audit()
    await fill(store)

    assert await Retention(store, audit, audit, KeepRules()).prune(is_dry=is_dry) == Pruned(1, 1, 7)
    assert set(store.runs) == ({"new", "old", "on"} if is_dry else {"new", "on"})
    [(before, was_dry), again] = audit.asked
    assert was_dry is is_dry
    assert again == (before, was_dry)
    assert time.time() - before == pytest.approx(365 * DAY_S, abs=60)


@pytest.mark.parametrize("is_dry", [True, False])
async def test_keys_that_have_expired_go_with_the_rest(*, is_dry: bool):
    """They are no records of anything, so they are not counted; a dry run leaves them, too."""
    pruned: list[int] = []

    class Retries:
        async def prune(self) -> int:
            """Nine have."""
            pruned.append(9)
            return 9

    retention = Retention(MemoryStore(), Audit(), Audit(), KeepRules(), Retries())

    assert await retention.prune(is_dry=is_dry) == Pruned(0, 0, 7)
    assert pruned == ([] if is_dry else [9])


async def test_the_daemon_prunes_by_itself(monkeypatch: pytest.MonkeyPatch):
    """At once and again, also after a database that was away."""
    store, audit = MemoryStore(), Audit()
    await fill(store)
    monkeypatch.setattr(retention_module, "PRUNE_EVERY_S", 0.0)
    attempts = 0
    prune = store.prune

    async def fail_once(before: float, max_bytes: int, *, is_dry: bool) -> tuple[int, int]:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise NotReadyError("the database does not answer")
        return await prune(before, max_bytes, is_dry=is_dry)

    monkeypatch.setattr(store, "prune", fail_once)
    keeping = asyncio.create_task(Retention(store, audit, audit, KeepRules()).keep())
    async with asyncio.timeout(30):
        while "old" in store.runs:
            await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)

    assert attempts >= 2
    assert set(store.runs) == {"new", "on"}
