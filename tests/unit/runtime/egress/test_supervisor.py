"""The proxy's container: made fresh, or found."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from runtime.egress.supervisor import PROXY_UID, ProxySupervisor
from runtime.engine.fake import FakeEngine
from runtime.engine.fake_programs import FakeProcess
from runtime.errors import ConflictError, NotFoundError, NotReadyError

IMAGE = "orchbox/proxy:local"


async def serve(process: FakeProcess) -> int:
    """A proxy that runs until it is stopped."""
    await process.stdin.read()
    return 0


def supervisor(
    engine: FakeEngine, folder: Path, *, instance: str = "default", installation: str = "ours"
) -> ProxySupervisor:
    """A supervisor whose control folder is in `folder`."""
    return ProxySupervisor(
        engine,
        instance=instance,
        image=IMAGE,
        control_dir=folder / "control",
        dns=("10.0.0.53",),
        installation=installation,
        slots=8,
    )


@pytest.fixture
async def engine():
    """An engine with the proxy's image."""
    engine = FakeEngine({IMAGE: serve})
    yield engine
    await engine.close()


async def test_ensure_makes_network_and_container(engine: FakeEngine, tmp_path: Path):
    """The proxy runs on an egress network that is not internal, labelled, with the operator's resolvers."""
    name = await supervisor(engine, tmp_path).ensure()
    container = engine.by_name[name]
    assert name == "orchbox-default-proxy"
    assert container.is_running
    assert container.config["HostConfig"]["Dns"] == ["10.0.0.53"]
    assert container.config["HostConfig"]["NetworkMode"] == "orchbox-default-egress"
    assert container.config["Labels"]["io.orchbox.role"] == "proxy"
    assert not engine.by_network["orchbox-default-egress"].spec.is_internal


async def test_ensure_replaces_the_proxy_of_a_dead_daemon(engine: FakeEngine, tmp_path: Path):
    """A proxy with an old image, or on the networks of dead runs, is never taken over."""
    first = supervisor(engine, tmp_path)
    await first.ensure()
    before = engine.by_name[first.container].id
    await first.ensure()
    assert engine.by_name[first.container].id != before
    assert len(engine.by_name) == len(engine.by_network) == 1


async def test_ensure_without_image_says_how_to_get_it(tmp_path: Path):
    """A missing image is named, with the command that builds it, before anything is touched."""
    with pytest.raises(NotFoundError, match=IMAGE) as caught:
        await supervisor(FakeEngine({}), tmp_path).ensure()
    assert caught.value.hint == "make images"


async def test_control_folder_is_the_proxys_alone(engine: FakeEngine, tmp_path: Path):
    """Nobody else on the host may reach the control socket's folder."""
    await supervisor(engine, tmp_path).ensure()
    found = (tmp_path / "control").stat()
    assert stat.S_IMODE(found.st_mode) == 0o700
    owner = PROXY_UID if os.geteuid() == 0 else os.geteuid()
    assert found.st_uid == owner
    assert engine.by_name["orchbox-default-proxy"].config["User"] == f"{owner}:{owner}"


async def test_remove(engine: FakeEngine, tmp_path: Path):
    """Removing takes container and network, and works twice."""
    ours = supervisor(engine, tmp_path)
    await ours.ensure()
    await ours.remove()
    await ours.remove()
    assert engine.by_name == {}
    assert engine.by_network == {}


async def test_find_takes_the_one_with_the_labels(engine: FakeEngine, tmp_path: Path):
    """Compose's proxy is found by instance and role, whatever its name."""
    marks = {"io.orchbox.instance": "default", "io.orchbox.role": "proxy"}
    await engine.create("somebody-else", {"Image": IMAGE, "Labels": {**marks, "io.orchbox.instance": "x"}})
    await engine.create("compose-proxy-1", {"Image": IMAGE, "Labels": marks})
    ours = supervisor(engine, tmp_path)
    assert await ours.find() == ours.container == "compose-proxy-1"


@pytest.mark.parametrize("count", [0, 2])
async def test_find_refuses_to_guess(engine: FakeEngine, tmp_path: Path, count: int):
    """No proxy, or two, is an error with the command that helps."""
    for n in range(count):
        marks = {"io.orchbox.instance": "default", "io.orchbox.role": "proxy"}
        await engine.create(f"p{n}", {"Image": IMAGE, "Labels": marks})
    with pytest.raises(NotReadyError, match=f"{count} proxy containers") as caught:
        await supervisor(engine, tmp_path).find()
    assert "docker compose" in (caught.value.hint or "")


async def test_an_owner_marks_proxy_and_network(engine: FakeEngine, tmp_path: Path):
    """Both, since one may be there without the other when the process is killed."""
    folder = tmp_path / "control"
    made = ProxySupervisor(
        engine,
        instance="own",
        image=IMAGE,
        control_dir=folder,
        dns=(),
        slots=8,
        installation="i",
        owner="1:2:3",
    )

    name = await made.ensure()

    assert engine.by_name[name].config["Labels"]["io.orchbox.owner"] == "1:2:3"
    assert engine.by_network[made.network].spec.labels["io.orchbox.owner"] == "1:2:3"


async def test_another_installations_proxy_is_never_replaced(engine: FakeEngine, tmp_path: Path):
    """Making and removing ours leaves theirs, under the same instance, as it is."""
    theirs = supervisor(engine, tmp_path / "theirs", installation="theirs")
    await theirs.ensure()
    before = engine.by_name[theirs.container].id
    ours = supervisor(engine, tmp_path / "ours", installation="ours")

    with pytest.raises(ConflictError):
        await ours.ensure()
    await ours.remove()

    assert engine.by_name[theirs.container].id == before
    assert engine.by_name[theirs.container].is_running
    assert theirs.network in engine.by_network


async def test_a_folder_that_cannot_be_made_is_told(engine: FakeEngine, tmp_path: Path):
    """With its path and the setting that moves it, and before anything is made on the engine."""
    (tmp_path / "control").write_text("a file")

    with pytest.raises(NotReadyError, match="control: File exists") as told:
        await supervisor(engine, tmp_path).ensure()

    assert "ORCHBOX_RUN_DIR" in (told.value.hint or "")
    assert engine.by_name == {}
