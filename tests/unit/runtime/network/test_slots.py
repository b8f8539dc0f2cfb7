"""Slots: which network a sandbox gets."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest

from runtime.engine.fake import FakeEngine
from runtime.engine.protocol import NetworkSpec
from runtime.errors import ConflictError, EngineUnavailableError, NotReadyError
from runtime.network.slots import MAX_SLOTS, NetworkSlots, slot_at, slot_count

POOL = ipaddress.IPv4Network("10.231.0.0/28")


def slots(
    engine: FakeEngine, *, instance: str = "default", pool: ipaddress.IPv4Network = POOL
) -> NetworkSlots:
    """The slots of one daemon."""
    return NetworkSlots(engine, instance=instance, pool=pool)


@pytest.mark.parametrize(
    ("pool", "count"),
    [("10.0.0.0/29", 1), ("10.0.0.0/28", 2), ("10.0.0.0/16", MAX_SLOTS), ("10.0.0.0/8", MAX_SLOTS)],
)
def test_slot_count(pool: str, count: int):
    """A pool holds a sandbox per /29, and no more than the guard lists."""
    assert slot_count(ipaddress.IPv4Network(pool)) == count


def test_slot_addresses():
    """Gateway, proxy and sandbox are the first three hosts of the slot's /29."""
    slot = slot_at(POOL, 1, "n")
    assert (slot.bridge, slot.gateway, slot.proxy_address, slot.sandbox_address) == (
        "orb1",
        "10.231.0.9",
        "10.231.0.10",
        "10.231.0.11",
    )


@pytest.mark.parametrize("index", [-1, 2])
def test_slot_outside_the_pool(index: int):
    """No address outside the pool is ever handed out."""
    with pytest.raises(ValueError, match="no slot"):
        slot_at(POOL, index, "n")


async def test_acquired_network_is_internal_and_named():
    """The network has no way out of its own, its bridge has the guarded name, and it carries the labels."""
    engine = FakeEngine({})
    slot = await slots(engine).acquire("run1")
    spec = engine.by_network[slot.network].spec
    assert slot.network == "orchbox-default-run1"
    assert (spec.is_internal, spec.bridge, spec.subnet, spec.gateway) == (
        True,
        "orb0",
        "10.231.0.0/29",
        "10.231.0.1",
    )
    assert spec.labels == {
        "io.orchbox.instance": "default",
        "io.orchbox.role": "network",
        "io.orchbox.run": "run1",
        "io.orchbox.slot": "0",
    }


async def test_slots_of_another_instance_are_taken():
    """Bridge names are the host's: two daemons never use the same one, whatever their pools."""
    engine = FakeEngine({})
    other = ipaddress.IPv4Network("10.232.0.0/28")
    await slots(engine, instance="other", pool=other).acquire("run1")
    assert (await slots(engine).acquire("run1")).bridge == "orb1"


async def test_a_subnet_that_something_else_has_is_skipped():
    """A range in use on the host costs its slots, not the run."""
    engine = FakeEngine({})
    await engine.create_network(
        NetworkSpec("foreign", None, "10.231.0.0/29", None, is_internal=False, labels={})
    )
    assert (await slots(engine).acquire("run1")).gateway == "10.231.0.9"


async def test_a_used_up_pool_says_so():
    """Too many runs at once are refused with the remedy."""
    engine = FakeEngine({})
    ours = slots(engine)
    await ours.acquire("a")
    await ours.acquire("b")
    with pytest.raises(NotReadyError, match="all 2 networks") as caught:
        await ours.acquire("c")
    assert "ORCHBOX_POOL" in (caught.value.hint or "")


async def test_a_pool_that_is_somebody_elses_says_so():
    """A pool that clashes with the host's networks everywhere names the setting."""
    engine = FakeEngine({})
    await engine.create_network(
        NetworkSpec("foreign", None, "10.231.0.0/16", None, is_internal=False, labels={})
    )
    pool = ipaddress.IPv4Network("10.231.0.0/16")
    with pytest.raises(NotReadyError, match="taken by something else") as caught:
        await slots(engine, pool=pool).acquire("a")
    assert "ORCHBOX_POOL" in (caught.value.hint or "")


async def test_a_released_slot_is_used_again():
    """Release removes the network and frees its number."""
    engine = FakeEngine({})
    ours = slots(engine)
    await ours.release(await ours.acquire("a"))
    assert engine.by_network == {}
    assert (await ours.acquire("b")).index == 0


async def test_a_slot_whose_network_could_not_be_removed_is_free_once_it_is_gone():
    """Until then the network's label keeps it from others; afterwards nothing remembers it."""
    engine = FakeEngine({})
    ours = slots(engine)
    slot = await ours.acquire("a")
    engine.is_down = True
    with pytest.raises(EngineUnavailableError):
        await ours.release(slot)
    engine.is_down = False

    second = await ours.acquire("b")
    await engine.remove_network(slot.network)

    assert second.index == 1
    assert (await ours.acquire("c")).index == 0


async def test_two_at_once_get_different_slots():
    """Concurrent runs never share a network."""
    ours = slots(FakeEngine({}))
    first, second = await asyncio.gather(ours.acquire("a"), ours.acquire("b"))
    assert {first.index, second.index} == {0, 1}


async def test_a_foreign_label_does_not_stop_us():
    """A slot label that is no number is not ours, and is left alone."""
    engine = FakeEngine({})
    await engine.create_network(
        NetworkSpec("odd", None, "10.9.0.0/29", None, is_internal=True, labels={"io.orchbox.slot": "x"})
    )
    assert (await slots(engine).acquire("a")).index == 0


class MakesThenHangs(FakeEngine):
    """Creates the network and then takes for ever to say so."""

    async def create_network(self, spec: NetworkSpec) -> None:
        """Create, tell, hang."""
        await super().create_network(spec)
        self.made.set()
        await asyncio.Event().wait()


async def test_a_cancelled_acquisition_leaves_no_network():
    """Cancelling while the network is being made removes it."""
    engine = MakesThenHangs({})
    engine.made = asyncio.Event()
    task = asyncio.create_task(slots(engine).acquire("a"))
    await engine.made.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.by_network == {}


async def test_a_failing_engine_frees_the_slot():
    """An engine that is down is told, and the slot is not lost."""
    engine = FakeEngine({})
    ours = slots(engine)

    async def fail(call: str) -> None:
        if call == "create_network":
            raise EngineUnavailableError("down")

    engine.before = fail
    with pytest.raises(EngineUnavailableError):
        await ours.acquire("a")
    engine.before = None
    assert (await ours.acquire("a")).index == 0


async def test_conflict_is_retried_with_another_slot_only_so_often():
    """Sixteen taken slots in a row end the search."""
    engine = FakeEngine({})

    async def fail(call: str) -> None:
        if call == "create_network":
            raise ConflictError("taken")

    engine.before = fail
    with pytest.raises(NotReadyError):
        await slots(engine, pool=ipaddress.IPv4Network("10.231.0.0/20")).acquire("a")
    assert sum(call.startswith("create_network") for call in engine.calls) == 16
