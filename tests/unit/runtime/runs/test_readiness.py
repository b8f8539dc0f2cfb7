"""No run starts before engine, proxy and guard are ready, and each says what helps."""

from __future__ import annotations

import pytest

from runtime.errors import NotReadyError
from runtime.network.proof import GuardStatus
from tests.unit.runtime.run_world import World, answer, request


async def test_no_run_without_a_proved_guard(world: World):
    """A guard that is not proved refuses every run, with its own sentence."""
    world.guard.status = GuardStatus(detail="a sandbox reaches the host at 10.231.0.1")
    with pytest.raises(NotReadyError, match=r"reaches the host at 10\.231\.0\.1"):
        await world.service.create(request())
    assert world.store.runs == {}


async def test_no_run_without_the_proxy(world: World):
    """A proxy that is not connected refuses every run."""
    world.link.is_connected = False
    with pytest.raises(NotReadyError, match="proxy"):
        await world.service.create(request())
    assert world.store.runs == {}


async def test_no_run_without_the_engine(world: World):
    """A dead engine is said to be dead."""
    world.engine.is_down = True
    with pytest.raises(NotReadyError, match="engine"):
        await world.service.create(request())
    world.engine.is_down = False
    assert world.store.runs == {}


async def test_checks_name_what_is_wrong_and_what_helps(world: World):
    """Readiness is engine, proxy and guard, each with a sentence and a remedy."""
    assert [(c.name, c.is_ok) for c in await world.service.checks()] == [
        ("engine", True),
        ("proxy", True),
        ("guard", True),
    ]
    world.engine.is_down = True
    world.link.is_connected = False
    world.guard.status = GuardStatus()
    checks = await world.service.checks()
    world.engine.is_down = False
    assert not any(c.is_ok for c in checks)
    assert all(c.detail and c.remedy for c in checks)


async def test_the_guard_s_own_remedy_is_shown(world: World):
    """Where waiting does not help, the check says what does."""
    world.guard.status = GuardStatus(detail="no chain", remedy="restart Docker")
    (guard,) = [c for c in await world.service.checks() if c.name == "guard"]
    assert (guard.is_ok, guard.detail, guard.remedy) == (False, "no chain", "restart Docker")


async def test_the_engine_is_asked_once_a_run(world: World):
    """What it says of itself is passed on to the sandbox's making."""
    world.agent = answer
    before = world.engine.calls.count("info")  # by the daemon's start
    await world.run()

    assert world.engine.calls.count("info") == before + 1
