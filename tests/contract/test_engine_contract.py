"""What every engine does, the fake and the real one alike."""

from __future__ import annotations

import asyncio

import pytest

from runtime.engine.docker import DockerEngine
from runtime.engine.fake import FakeEngine
from runtime.engine.protocol import STDERR, STDOUT, Attached, Engine, ExitStatus
from runtime.errors import (
    ConflictError,
    EngineUnavailableError,
    InvalidInputError,
    NotFoundError,
    OrchError,
)
from tests.contract.conftest import Lab


async def run(lab: Lab, *argv: str, stdin: bytes = b"") -> tuple[dict[int, bytes], ExitStatus]:
    """Create, attach, start, feed, read to the end, wait."""
    container = await lab.engine.create(lab.name(), lab.config(*argv))
    attached = await lab.engine.attach(container)
    try:
        await lab.engine.start(container)
        reading = asyncio.create_task(read(attached))
        await attached.write(stdin)
        await attached.close_stdin()
        said = await reading
        return said, await lab.engine.wait(container)
    finally:
        await attached.close()


async def read(attached: Attached) -> dict[int, bytes]:
    """All of both streams."""
    said = {STDOUT: b"", STDERR: b""}
    async for stream, data in attached.output():
        said[stream] += data
    return said


async def started(lab: Lab, *argv: str, network: str = "none", part: str = "c") -> str:
    """A running container."""
    container = await lab.engine.create(lab.name(part), lab.config(*argv, network=network))
    await lab.engine.start(container)
    return container


async def test_info_names_the_default_runtime(lab: Lab) -> None:
    """Every engine knows its version and the runtime `runc`."""
    info = await lab.engine.info()
    assert info.version
    assert "runc" in info.runtimes


async def test_image_id_of_a_known_and_an_unknown_image(lab: Lab) -> None:
    """An image that is not here is None, not an error."""
    assert await lab.engine.image_id(lab.image)
    assert await lab.engine.image_id("orchbox/no-such-image:local") is None


async def test_stdin_reaches_the_container_and_ends(lab: Lab) -> None:
    """Every byte written before the half-close comes back, and the end is seen."""
    data = bytes(range(256)) * 8192
    said, status = await run(lab, "cat", stdin=data)
    assert said[STDOUT] == data
    assert said[STDERR] == b""
    assert status == ExitStatus(0, is_oom_killed=False)


async def test_stdout_and_stderr_stay_apart(lab: Lab) -> None:
    """The two output streams are told apart."""
    said, _ = await run(lab, "tee", "/dev/stderr", stdin=b"both\n")
    assert said == {STDOUT: b"both\n", STDERR: b"both\n"}


@pytest.mark.parametrize(("program", "code"), [("true", 0), ("false", 1)])
async def test_exit_status(lab: Lab, program: str, code: int) -> None:
    """The exit status is the program's."""
    _, status = await run(lab, program)
    assert status.code == code


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGKILL", 137)])
async def test_a_signal_ends_a_container(lab: Lab, name: str, code: int) -> None:
    """SIGTERM and SIGKILL end a program that does not mind them, with 128 + their number."""
    container = await started(lab, "sleep", "60")
    await lab.engine.signal(container, name)
    assert (await lab.engine.wait(container)).code == code


async def test_a_signal_to_what_has_ended_or_never_was_does_nothing(lab: Lab) -> None:
    """Ending twice is no error: the end may race with us."""
    container = await started(lab, "true")
    await lab.engine.wait(container)
    await lab.engine.signal(container, "SIGTERM")
    await lab.engine.signal(lab.name("never"), "SIGKILL")


async def test_remove_ends_a_running_container_and_may_be_repeated(lab: Lab) -> None:
    """Removal needs no stop before it, and a second one does nothing."""
    container = await started(lab, "sleep", "60")
    await lab.engine.remove(container)
    await lab.engine.remove(container)
    assert await lab.engine.containers(lab.labels) == []


async def test_remove_by_name(lab: Lab) -> None:
    """A container can be removed by the name it was given, without knowing its id."""
    await lab.engine.create(lab.name(), lab.config("true"))
    await lab.engine.remove(lab.name())
    assert await lab.engine.containers(lab.labels) == []


async def test_output_ends_when_the_container_is_removed(lab: Lab) -> None:
    """A reader of the streams is let go when the container is killed from outside."""
    container = await lab.engine.create(lab.name(), lab.config("sleep", "60"))
    attached = await lab.engine.attach(container)
    await lab.engine.start(container)
    reading = asyncio.create_task(read(attached))
    await lab.engine.remove(container)
    assert await asyncio.wait_for(reading, 20) == {STDOUT: b"", STDERR: b""}
    await attached.close()


async def test_unknown_image_is_not_found(lab: Lab) -> None:
    """Creating from an image that is not here says so."""
    config = {**lab.config("true"), "Image": "orchbox/no-such-image:local"}
    with pytest.raises(NotFoundError, match="no-such-image"):
        await lab.engine.create(lab.name(), config)


async def test_unknown_runtime_is_invalid_input(lab: Lab) -> None:
    """A runtime that the engine does not have is refused by name, never replaced by another."""
    with pytest.raises(InvalidInputError, match="no-such-runtime"):
        await lab.engine.create(lab.name(), lab.config("true", Runtime="no-such-runtime"))


async def test_a_taken_container_name_is_a_conflict(lab: Lab) -> None:
    """Two containers never share a name."""
    await lab.engine.create(lab.name(), lab.config("true"))
    with pytest.raises(ConflictError):
        await lab.engine.create(lab.name(), lab.config("true"))


async def test_a_command_that_is_not_there_is_invalid_input(lab: Lab) -> None:
    """Starting a command that the image lacks is the caller's error, and leaves nothing running."""
    container = await lab.engine.create(lab.name(), lab.config("/no/such/program", Init=False))
    with pytest.raises(InvalidInputError):
        await lab.engine.start(container)
    assert not (await lab.engine.inspect(container))["State"]["Running"]


async def test_under_an_init_a_command_that_is_not_there_exits_127(lab: Lab) -> None:
    """With `Init` the container starts, and its init says that the command could not be."""
    said, status = await run(lab, "/no/such/program")
    assert status.code == 127
    assert b"/no/such/program" in said[STDERR]


@pytest.mark.parametrize("call", ["attach", "start", "inspect"])
async def test_an_unknown_container_is_not_found(lab: Lab, call: str) -> None:
    """What works on a container says when there is none."""
    with pytest.raises(NotFoundError):
        await getattr(lab.engine, call)(lab.name("never"))


async def test_containers_are_found_by_label_whether_they_run_or_not(lab: Lab) -> None:
    """Reaping sees created, running and ended containers, and nobody else's."""
    for part, argv in {"created": None, "running": ("sleep", "60"), "ended": ("true",)}.items():
        if argv is None:
            await lab.engine.create(lab.name(part), lab.config("true"))
        else:
            await started(lab, *argv, part=part)
    found = await lab.engine.containers(lab.labels)
    assert {c.name for c in found} == {lab.name(part) for part in ("created", "running", "ended")}
    assert all(lab.labels.items() <= dict(c.labels).items() for c in found)
    assert await lab.engine.containers({"io.orchbox.instance": lab.instance + "x"}) == []


async def test_networks_are_found_by_label_name_alone(lab: Lab) -> None:
    """An empty value asks for the label whatever its value is."""
    await lab.engine.create_network(lab.network(0))
    found = await lab.engine.networks({"io.orchbox.instance": ""})
    assert lab.name("n") in {n.name for n in found}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"part": "n", "index": 1}, id="the name"),
        pytest.param({"part": "m", "index": 0, "bridge": 9}, id="the subnet"),
        pytest.param({"part": "m", "index": 1, "bridge": 0}, id="the bridge"),
    ],
)
async def test_a_taken_network_is_a_conflict(lab: Lab, other: dict[str, object]) -> None:
    """Name, subnet and bridge are each refused when they are taken."""
    await lab.engine.create_network(lab.network(0))
    with pytest.raises(ConflictError):
        await lab.engine.create_network(lab.network(**other))


async def test_a_network_is_removed_with_members_on_it_and_may_be_removed_twice(lab: Lab) -> None:
    """Removing a network takes off whoever is still there."""
    await lab.engine.create_network(lab.network(0))
    await started(lab, "sleep", "60", network=lab.name("n"))
    await lab.engine.remove_network(lab.name("n"))
    await lab.engine.remove_network(lab.name("n"))
    assert await lab.engine.networks(lab.labels) == []


async def test_connect_and_disconnect(lab: Lab) -> None:
    """A second interface comes and goes; taking away what is not there does nothing."""
    await lab.engine.create_network(lab.network(0))
    await lab.engine.create_network(lab.network(1, "m"))
    container = await started(lab, "sleep", "60", network=lab.name("n"))
    await lab.engine.connect(lab.name("m"), container, "10.238.7.10")
    with pytest.raises(ConflictError):
        await lab.engine.connect(lab.name("m"), container, "10.238.7.11")
    await lab.engine.disconnect(lab.name("m"), lab.name())
    await lab.engine.disconnect(lab.name("m"), lab.name())
    await lab.engine.disconnect(lab.name("never"), lab.name())
    await lab.engine.connect(lab.name("m"), container, "10.238.7.10")


async def test_connect_refuses_an_address_outside_the_network(lab: Lab) -> None:
    """An address that is not the network's own is an error, not another address."""
    await lab.engine.create_network(lab.network(0))
    await lab.engine.create_network(lab.network(1, "m"))
    container = await started(lab, "sleep", "60", network=lab.name("n"))
    with pytest.raises(OrchError):
        await lab.engine.connect(lab.name("m"), container, "10.99.0.2")


async def test_a_cancelled_creation_can_be_removed_by_name(lab: Lab) -> None:
    """When CancelledError comes, the call has happened or failed: nothing appears afterwards."""
    creating = asyncio.create_task(lab.engine.create(lab.name(), lab.config("true")))
    network = asyncio.create_task(lab.engine.create_network(lab.network(0)))
    await asyncio.sleep(0)
    creating.cancel()
    network.cancel()
    await asyncio.gather(creating, network, return_exceptions=True)
    await lab.engine.remove(lab.name())
    await lab.engine.remove_network(lab.name("n"))
    assert await lab.engine.containers(lab.labels) == []
    assert await lab.engine.networks(lab.labels) == []


CALLS = {
    "info": (),
    "image_id": ("x",),
    "remove_network": ("x",),
    "connect": ("x", "y", "10.0.0.2"),
    "disconnect": ("x", "y"),
    "create": ("x", {"Image": "x"}),
    "attach": ("x",),
    "start": ("x",),
    "wait": ("x",),
    "signal": ("x", "SIGTERM"),
    "remove": ("x",),
    "containers": ({},),
    "networks": ({},),
    "inspect": ("x",),
}


@pytest.fixture
def dead(kind: str, unused_tcp_port: int) -> Engine:
    """An engine that nobody answers for.

    By TCP: docker 7.2 leaves its unix socket unclosed where connecting fails, which warns at some later time.
    """
    if kind == "docker":
        return DockerEngine(base_url=f"tcp://127.0.0.1:{unused_tcp_port}")
    engine = FakeEngine({})
    engine.is_down = True
    return engine


@pytest.mark.parametrize("call", CALLS)
async def test_a_dead_engine_is_unavailable(dead: Engine, call: str) -> None:
    """Each call on an engine that does not answer raises the one error that says so."""
    with pytest.raises(EngineUnavailableError):
        await getattr(dead, call)(*CALLS[call])
    await dead.close()


async def test_the_record_names_the_runtime(lab: Lab):
    """Asked for or left to the engine, the record of a started container says which runtime it has."""
    container = await lab.engine.create(lab.name(), lab.config("true", Runtime="runc"))
    await lab.engine.start(container)
    assert (await lab.engine.inspect(container))["HostConfig"]["Runtime"] == "runc"
