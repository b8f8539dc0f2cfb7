"""runtime.network.connected: a run's network comes with the file that names its proxy, and goes with it."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from runtime.containers.resolv_conf import ResolvConfs, text_for
from runtime.engine.fake import FakeEngine
from runtime.errors import NotReadyError
from runtime.network.connected import RunNetworks
from runtime.network.slots import NetworkSlots

POOL = ipaddress.IPv4Network("10.231.0.0/26")


@pytest.fixture
async def engine() -> FakeEngine:
    """An engine with the proxy on it."""
    engine = FakeEngine({"proxy": None})
    await engine.create("the-proxy", {"Image": "proxy", "Labels": {}, "HostConfig": {}})
    return engine


def networks_of(engine: FakeEngine, folder: Path) -> RunNetworks:
    """Of a daemon that keeps its files in `folder`."""
    slots = NetworkSlots(engine, instance="default", pool=POOL)
    return RunNetworks(engine, slots, proxy_container="the-proxy", resolv_confs=ResolvConfs(folder))


def there(folder: Path) -> dict[str, str]:
    """The files and their texts."""
    return {path.name: path.read_text() for path in folder.iterdir()}


async def test_the_file_is_there_as_long_as_the_network(engine: FakeEngine, tmp_path: Path):
    """It names the proxy of this network; nothing of it is left, and nothing piles up."""
    networks = networks_of(engine, tmp_path)
    for number in range(3):
        async with networks.made(f"run-{number}") as network:
            name = f"{network.slot.proxy_address}.conf"
            assert network.resolv_conf == str(tmp_path / name)
            assert there(tmp_path) == {name: text_for(network.slot.proxy_address)}
        assert there(tmp_path) == {}


async def test_the_sandbox_gets_the_path_that_the_engine_has(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A daemon in a container asks once where its folder is on the engine's host."""
    asked: list[Path] = []

    async def elsewhere(_engine: object, folder: Path) -> Path:
        asked.append(folder)
        return Path("/srv/run/resolv")

    monkeypatch.setattr("runtime.network.connected.host_folder", elsewhere)
    networks = networks_of(engine, tmp_path)
    await networks.prepare()
    async with networks.made("run-1") as one, networks.made("run-2") as two:
        found = {one.resolv_conf, two.resolv_conf}

    assert found == {"/srv/run/resolv/10.231.0.2.conf", "/srv/run/resolv/10.231.0.10.conf"}
    assert asked == [tmp_path]


async def test_no_network_is_made_without_a_file(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Closed: neither a sandbox with the engine's resolver, nor a network that stays behind."""

    async def nowhere(_engine: object, _folder: Path) -> Path:
        raise NotReadyError("in the daemon's own container only")

    monkeypatch.setattr("runtime.network.connected.host_folder", nowhere)
    networks = networks_of(engine, tmp_path)

    with pytest.raises(NotReadyError):
        await networks.prepare()
    with pytest.raises(NotReadyError):
        async with networks.made("run-1"):
            raise AssertionError("made without its file")
    assert engine.by_network == {}
    assert there(tmp_path) == {}


async def test_the_next_daemon_removes_what_nobody_has(engine: FakeEngine, tmp_path: Path):
    """Files of networks that are gone; one of a run that goes on may still be about to be mounted."""
    files = ResolvConfs(tmp_path)
    files.write("10.231.0.58")
    async with networks_of(engine, tmp_path).made("run-1") as network:
        await networks_of(engine, tmp_path).prepare()

        assert [*there(tmp_path)] == [f"{network.slot.proxy_address}.conf"]
