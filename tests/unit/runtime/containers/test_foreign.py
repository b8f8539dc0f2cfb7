"""What another installation has under the same instance name is named, and removed only where it is dead."""

from __future__ import annotations

import pytest

from runtime.containers import labels
from runtime.containers.foreign import COMPOSE_PROJECT, find_foreign, remove_foreign
from runtime.containers.owner import Life, this_process
from runtime.engine.fake import FakeEngine
from runtime.engine.protocol import NetworkSpec
from runtime.errors import ConflictError

DEAD = "7:1:another-boot/1"
ELSEWHERE = this_process().rpartition("/")[0] + "/1"


async def make(engine: FakeEngine, name: str, role: str = "sandbox", **marks: str) -> None:
    """A container with these labels, and a network beside it."""
    marks = labels.labels("a", role) | {f"io.orchbox.{key}": value for key, value in marks.items()}
    await engine.create(name, {"Image": "box", "Entrypoint": ["true"], "Labels": marks})
    await engine.create_network(NetworkSpec(f"net-{name}", None, None, None, is_internal=True, labels=marks))


def theirs(process: str) -> dict[str, str]:
    """The labels of another daemon, that is or was this process."""
    return {"installation": "f" * 32, "run-dir": "/run/theirs", "daemon": process}


async def test_our_own_and_nothing_are_no_conflict():
    """What this installation left is no sign of another one, nor is another instance's."""
    engine = FakeEngine({"box": None})
    await make(engine, "left", **theirs(DEAD) | {"installation": "ours"})

    assert await find_foreign(engine, "a", "ours") == []
    assert await find_foreign(engine, "b", "ours") == []


@pytest.mark.parametrize(
    ("process", "life", "said", "remedy"),
    [
        (this_process(), Life.ALIVE, "(running;", "ORCHBOX_RUN_DIR=/run/theirs orch down"),
        (DEAD, Life.DEAD, "daemon pid 7 (ended;", "orch down --foreign"),
        (ELSEWHERE, Life.UNKNOWN, "(not visible from here;", "docker compose down"),
        ("", Life.UNKNOWN, "(not visible from here;", "docker rm -f"),
    ],
)
async def test_the_refusal_names_the_other_and_the_remedy(process: str, life: Life, said: str, remedy: str):
    """Instance, run directory, pid and whether it lives; what to do depends on the last."""
    engine = FakeEngine({"box": None})
    await make(engine, "box", **theirs(process))

    [found] = await find_foreign(engine, "a", "ours")
    error = found.refusal("the daemon was not started")

    assert found.life is life
    for text in ("the daemon was not started: the instance a ", "ffffffff", "/run/theirs", "2 containers"):
        assert text in error.message
    assert said.rstrip(";") in error.message
    assert remedy in (error.hint or "")
    assert "ORCHBOX_INSTANCE" in (error.hint or "")


async def test_one_living_process_is_enough():
    """What an earlier process of the same installation left does not make a living daemon look dead."""
    engine = FakeEngine({"box": None})
    await make(engine, "old", **theirs(DEAD))
    await make(engine, "new", **theirs(this_process()))

    [found] = await find_foreign(engine, "a", "ours")

    assert found.life is Life.ALIVE


async def test_what_the_dead_left_is_removed_on_demand():
    """Containers and networks of every dead installation, and nothing of ours."""
    engine = FakeEngine({"box": None})
    await make(engine, "theirs", **theirs(DEAD))
    await make(engine, "others", **theirs(DEAD) | {"installation": "e" * 32})
    await make(engine, "mine", **theirs(DEAD) | {"installation": "ours"})

    assert await remove_foreign(engine, "a", "ours") == 4
    assert set(engine.by_name) == {"mine"}
    assert set(engine.by_network) == {"net-mine"}


@pytest.mark.parametrize("process", [this_process(), ELSEWHERE, ""])
async def test_what_may_live_is_not_removed(process: str):
    """Nothing goes, not even what a dead one left, while one of them may be at work."""
    engine = FakeEngine({"box": None})
    await make(engine, "dead", **theirs(DEAD) | {"installation": "e" * 32})
    await make(engine, "theirs", **theirs(process))

    with pytest.raises(ConflictError, match="nothing was removed"):
        await remove_foreign(engine, "a", "ours")
    assert len(engine.by_name) == 2


async def test_an_older_versions_sandbox_may_live():
    """Things without an installation are not ours: a daemon of an older version may run them."""
    engine = FakeEngine({"box": None})
    await make(engine, "old")

    [found] = await find_foreign(engine, "a", "ours")

    assert found.life is Life.UNKNOWN
    assert "older version" in found.refusal("x").message


async def test_composes_proxy_and_a_doctors_probe_are_nobodys():
    """Compose labels its proxy itself, and `orch doctor` may try gVisor before any daemon has an id."""
    engine = FakeEngine({"box": None})
    proxy = labels.labels("a", "proxy") | {COMPOSE_PROJECT: "orchbox-a"}
    await engine.create("compose-proxy-1", {"Image": "box", "Labels": proxy})
    await make(engine, "probe", "probe")

    assert await find_foreign(engine, "a", "ours") == []
