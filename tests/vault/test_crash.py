"""What was acknowledged survives kill -9 of the daemon, and of the database server."""

from __future__ import annotations

import subprocess

import pytest

from runtime.model.secret import Secret
from tests.harness.postgres import Postgres
from tests.vault import daemon
from tests.vault.places import ME, Place

WRITES = 1000
KILLED_AFTER = 400


def lines_until_killed(process: subprocess.Popen[str], count: int) -> list[str]:
    """Kill it once it has said so many lines; all whole lines that it said."""
    assert process.stdout is not None
    with process:
        said = [process.stdout.readline() for _ in range(count)]
        process.kill()
        said += process.stdout.readlines()
    return [line.strip() for line in said if line.endswith("\n")]


async def assert_readable(place: Place, names: list[str]) -> None:
    """Another daemon reads every one of them."""
    found = await place.vault().read("default", names, run_id="r", reader=ME)

    assert {name: secret.reveal() for name, secret in found.items()} == {n: daemon.value_of(n) for n in names}


async def test_kill_9_in_the_middle_of_1000_writes_loses_no_acknowledged_one(place: Place):
    """The writer dies at write 400 or soon after; all it said is there, and the next one finishes."""
    said = lines_until_killed(daemon.start(place, "write", "0", str(WRITES)), KILLED_AFTER)
    await assert_readable(place, said)
    assert KILLED_AFTER <= len(said) < WRITES

    vault = place.vault()
    rest = [f"KEY_{number}" for number in range(len(said), WRITES)]
    for name in rest:
        await vault.put("default", name, Secret(daemon.value_of(name)), who=ME)
    await assert_readable(place, [*said, *rest])


async def test_kill_9_in_the_middle_of_rotations_loses_nothing(place: Place):
    """The key file is ahead of the database or in step with it, never behind."""
    names = [f"KEY_{number}" for number in range(80)]
    vault = place.vault()
    for name in names:
        await vault.put("default", name, Secret(daemon.value_of(name)), who=ME)

    for count in (1, 2):
        lines_until_killed(daemon.start(place, "rotate", "1000"), count)
        await assert_readable(place, names)
    assert await place.vault().rotate(who=ME) == len(names)
    await assert_readable(place, names)


@pytest.mark.postgres
@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_a_crash_of_the_server_loses_no_acknowledged_write(place: Place, postgres: Postgres):
    """PostgreSQL ends as with the power; the daemon says so, and works on when the server is back."""
    staying = place.vault()
    await staying.prepare()
    with daemon.start(place, "write", "0", str(WRITES)) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline().strip() for _ in range(KILLED_AFTER // 4)]
        postgres.crash()
        try:
            writer.kill()
            said += [line.strip() for line in writer.stdout.readlines() if line.endswith("\n")]
        finally:
            postgres.up()

    found = await staying.read("default", said, run_id="r", reader=ME)
    assert set(found) == set(said)
