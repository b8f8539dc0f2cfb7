"""What a sandbox is given is held until it has it, and not for the whole run."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import pytest

from runtime.engine.fake_programs import FakeProcess
from runtime.errors import OrchError
from runtime.model.run import RunState
from runtime.sandbox.parcel import Parcel
from tests.unit.runtime.run_world import World, request


def test_parts_come_in_order_and_go():
    """Bundle, uploads, input; each is let go of as it is given."""
    asked = request(bundle=b"tar", uploads={"a": b"12", "b": b"3"}, input=b"in")
    stripped, parcel = Parcel.out_of(asked)

    assert (stripped.bundle, stripped.uploads, stripped.input) == (b"", {}, b"")
    assert stripped.argv == asked.argv
    assert (parcel.bundle_size, parcel.upload_sizes, parcel.input_size) == (3, {"a": 2, "b": 1}, 2)
    left = [(part, parcel.held_bytes) for part in parcel.unpack()]
    assert left == [(b"tar", 5), (b"12", 3), (b"3", 2), (b"in", 0)]


@pytest.mark.parametrize("field", ["bundle", "uploads", "input"])
async def test_a_run_holds_nothing_that_it_has_delivered(world: World, field: str):
    """While the agent runs, only who called has the bytes; they were never copied into one message."""
    data = os.urandom(1 << 20)
    before = sys.getrefcount(data)
    held: list[int] = []

    async def look(process: FakeProcess, head: dict[str, Any]) -> int:
        assert data in head.pop("rest")
        for _ in range(10):
            await asyncio.sleep(0)
        held.append(sys.getrefcount(data))
        return 0

    world.agent = look
    inside = sys.getrefcount(data) - before  # the agent's own
    changes: dict[str, Any] = {field: {"file": data} if field == "uploads" else data}
    run = await world.service.create(request(**changes))
    changes.clear()
    await world.end_of(run)

    assert held == [before + inside]


@pytest.mark.parametrize("failing", ["create", "attach", "start"])
async def test_a_run_that_never_started_holds_nothing(world: World, failing: str):
    """Its record stays; its bundle does not."""
    data = os.urandom(1 << 16)
    before = sys.getrefcount(data)

    async def refuse(call: str) -> None:
        if call == failing:
            raise OrchError("the engine failed")

    world.engine.before = refuse
    run = await world.run(bundle=data)

    assert run.state is RunState.FAILED
    assert sys.getrefcount(data) == before
