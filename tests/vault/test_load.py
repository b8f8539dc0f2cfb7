"""Several daemons on one database: nobody's write is lost, neither beside others nor beside a rotation."""

from __future__ import annotations

import asyncio

from runtime.model.secret import Secret
from tests.vault import daemon
from tests.vault.places import ME, Place

WRITERS = 3
EACH = 25
ROTATIONS = 6


async def test_rotation_under_load_loses_nothing(place: Place):
    """Writers, readers and two rotating daemons at once: every read and every write is right."""
    await place.vault().prepare()
    is_done = asyncio.Event()
    reads = 0

    async def write(writer: int) -> None:
        vault = place.vault()
        for number in range(EACH):
            name = f"W{writer}_{number % 5}"
            await vault.put("default", name, Secret(f"{name} {number}"), who=ME)

    async def read() -> None:
        nonlocal reads
        vault = place.vault()
        while not is_done.is_set():
            names = [f"W{writer}_{number}" for writer in range(WRITERS) for number in range(5)]
            found = await vault.read("default", names, run_id="r", reader=ME)
            assert all(secret.reveal().startswith(f"{name} ") for name, secret in found.items())
            reads += 1

    async def rotate() -> None:
        vault = place.vault()
        for _ in range(ROTATIONS):
            await vault.rotate(who=ME)

    async def work() -> None:
        try:
            await asyncio.gather(*(write(number) for number in range(WRITERS)), rotate(), rotate())
        finally:
            is_done.set()

    await asyncio.gather(work(), read(), read())

    names = {f"W{writer}_{number}": number for writer in range(WRITERS) for number in range(5)}
    found = await place.vault().read("default", list(names), run_id="r", reader=ME)
    last = {name: f"{name} {EACH - 5 + number}" for name, number in names.items()}
    assert {name: secret.reveal() for name, secret in found.items()} == last
    actions = [line.action for line in await place.vault().audit("default", 100_000)]
    assert (actions.count("rotate"), actions.count("set")) == (2 * ROTATIONS, WRITERS * EACH)
    assert reads > 0


async def test_many_first_writes_of_one_name_are_one_secret(place: Place):
    """One row, with one of the values; each writer is told that it was done."""
    vaults = [place.vault() for _ in range(4)]
    await vaults[0].prepare()
    writes = [vault.put("default", "A_KEY", Secret(f"v{n}"), who=ME) for n, vault in enumerate(vaults)]
    made = await asyncio.gather(*writes)

    (value,) = (await vaults[0].read("default", ["A_KEY"], run_id="r", reader=ME)).values()
    assert {entry.id for entry in made} == {(await vaults[0].entries("default"))[0].id}
    assert len(await vaults[0].entries("default")) == 1
    assert value.reveal() in {"v0", "v1", "v2", "v3"}


async def test_daemons_that_start_at_once_share_one_vault(place: Place):
    """On an empty database: one migrates, one makes the key and the key set, and all open it."""
    started = [daemon.start(place, "prepare") for _ in range(3)]
    for process in started:
        with process:
            assert process.communicate(timeout=60)[0] == "open\n"
            assert process.returncode == 0

    vault = place.vault()
    await vault.put("default", "A_KEY", Secret("x"), who=ME)
    assert len(await vault.workspaces()) == 1


async def test_daemons_that_write_at_once_lose_nothing(place: Place):
    """Processes with names of their own; all of them are there."""
    await place.vault().prepare()
    started = [daemon.start(place, "write", str(100 * n), "50") for n in range(WRITERS)]
    said = []
    for process in started:
        with process:
            said += process.communicate(timeout=60)[0].split()

    found = await place.vault().read("default", said, run_id="r", reader=ME)
    assert {name: secret.reveal() for name, secret in found.items()} == {n: daemon.value_of(n) for n in said}
    assert len(said) == 50 * WRITERS
