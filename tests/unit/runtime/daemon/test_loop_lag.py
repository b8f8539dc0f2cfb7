"""runtime.daemon.loop_lag: a loop that is held up is seen, and one that nobody watches is left alone."""

from __future__ import annotations

import asyncio
import time

import pytest

from runtime.daemon import loop_lag
from runtime.daemon.loop_lag import LoopLag


async def test_what_holds_the_loop_up_is_measured(monkeypatch: pytest.MonkeyPatch):
    """As long as it did."""
    monkeypatch.setattr(loop_lag, "EVERY_S", 0.01)
    lag = LoopLag()
    lag.watch()
    time.sleep(0.2)  # noqa: ASYNC251 - this is what is to be seen
    while not lag.histogram.cumulative[-1][1]:
        await asyncio.sleep(0)
    lag.close()

    assert lag.histogram.total > 0.15
    assert dict(lag.histogram.cumulative)[0.1] == 0


async def test_a_loop_that_nobody_watches_is_not_woken(monkeypatch: pytest.MonkeyPatch):
    """Before the first reading, a while after the last one, and once it is closed."""
    monkeypatch.setattr(loop_lag, "EVERY_S", 0.0)
    monkeypatch.setattr(loop_lag, "IDLE_S", 0.0)
    lag = LoopLag()
    assert not lag.is_measuring
    lag.watch()
    assert lag.is_measuring
    while lag.is_measuring:
        await asyncio.sleep(0)
    lag.watch()
    lag.close()
    assert not lag.is_measuring
