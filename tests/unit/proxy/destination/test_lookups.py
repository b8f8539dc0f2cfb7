"""Lookups under way are shared, bounded, and forgotten when they end."""

from __future__ import annotations

import asyncio

import pytest

from proxy.destination import lookups
from proxy.destination.lookups import SharedLookups
from proxy.destination.resolve import NotDialableError
from proxy.policy.limits import MAX_LOOKUPS


class Names:
    """A lookup that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()

    async def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        await self.may_answer.wait()
        if host == "bad.test":
            raise OSError("no such name")
        return ["192.0.2.1"]


async def test_equal_lookups_are_one() -> None:
    """300 that wait for a name ask for it once; one that goes away takes it from nobody."""
    names = Names()
    shared = SharedLookups(names)
    waiting = [asyncio.create_task(shared("ok.test")) for _ in range(300)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    names.may_answer.set()
    got = await asyncio.gather(*waiting[1:])
    assert got == [["192.0.2.1"]] * 299
    await asyncio.sleep(0)
    assert names.asked == ["ok.test"]
    assert len(shared) == 0


async def test_one_more_than_the_bound_is_refused_at_once() -> None:
    """Joining one that is under way is always possible."""
    names = Names()
    shared = SharedLookups(names)
    waiting = [asyncio.create_task(shared(f"n{number}.test")) for number in range(MAX_LOOKUPS)]
    await asyncio.sleep(0)
    with pytest.raises(NotDialableError) as caught:
        await shared("ok.test")
    assert caught.value.decision.reason_code == "budget_requests"
    joined = asyncio.create_task(shared("n0.test"))
    names.may_answer.set()
    await asyncio.gather(*waiting, joined)
    assert await shared("ok.test") == ["192.0.2.1"]


async def test_a_lookup_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the resolver does; a failure is everybody's, and is not kept."""
    monkeypatch.setattr(lookups, "RESOLVE_TIMEOUT_S", 0.01)
    names = Names()
    shared = SharedLookups(names)
    with pytest.raises(TimeoutError):
        await shared("ok.test")
    await asyncio.sleep(0)
    names.may_answer.set()
    for _ in range(2):
        with pytest.raises(OSError, match="no such name"):
            await shared("bad.test")
        await asyncio.sleep(0)
    assert names.asked == ["ok.test", "bad.test", "bad.test"]
    assert len(shared) == 0


async def test_a_lookup_that_is_done_at_once_is_forgotten() -> None:
    """mitmproxy's loop runs a task before `create_task` returns."""
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    names = Names()
    names.may_answer.set()
    shared = SharedLookups(names)
    for _ in range(3):
        assert await shared("ok.test") == ["192.0.2.1"]
        await asyncio.sleep(0)
    assert len(names.asked) == 3
    assert len(shared) == 0
