"""One-shot containers leave nothing, however they end."""

from __future__ import annotations

import asyncio

import pytest

from runtime.containers.helper import HelperResult, helper_config, run_helper, started
from runtime.containers.seccomp import profile
from runtime.engine.fake import FakeEngine
from runtime.engine.fake_programs import FakeProcess
from runtime.engine.protocol import STDERR, STDOUT
from runtime.errors import InvalidInputError


async def speak(process: FakeProcess) -> int:
    """Print to both streams; 3."""
    process.write(STDOUT, b"out")
    process.write(STDERR, b"err")
    return 3


def config(*argv: str) -> dict:
    """A helper of the image `d`."""
    return helper_config("d", list(argv), labels={}, network="none")


async def test_status_and_streams():
    """Exit status, stdout and stderr are told apart, and the container is removed."""
    engine = FakeEngine({"d": speak})
    assert await run_helper(engine, config(), name="h") == HelperResult(3, "out", "err")
    assert engine.by_name == {}


async def test_names_differ():
    """Two helpers of one kind may run at once."""
    engine = FakeEngine({"d": None})
    async with (
        started(engine, config("sleep", "60"), name="h"),
        started(engine, config("sleep", "60"), name="h"),
    ):
        assert len(engine.by_name) == 2
    assert engine.by_name == {}


async def test_a_helper_that_hangs_is_removed(monkeypatch: pytest.MonkeyPatch):
    """A helper has a time limit."""
    monkeypatch.setattr("runtime.containers.helper.HELPER_TIMEOUT_S", 0.02)
    engine = FakeEngine({"d": None})
    with pytest.raises(TimeoutError):
        await run_helper(engine, config("sleep", "60"), name="h")
    assert engine.by_name == {}


async def test_a_helper_that_cannot_start_is_removed():
    """A failing start leaves no created container."""
    engine = FakeEngine({"d": None})
    with pytest.raises(InvalidInputError):
        await run_helper(engine, config("no-such-program"), name="h")
    assert engine.by_name == {}


@pytest.mark.parametrize("call", ["create", "attach", "start"])
async def test_a_helper_cancelled_at_any_call_is_removed(call: str):
    """A call that has happened although it was cancelled leaves nothing either."""

    class HappensThenHangs(FakeEngine):
        async def create(self, name: str, config: dict) -> str:
            container = await super().create(name, config)
            if call == "create":
                reached.set()
                await asyncio.Event().wait()
            return container

        async def start(self, container: str) -> None:
            await super().start(container)
            if call == "start":
                reached.set()
                await asyncio.Event().wait()

        async def attach(self, container: str):
            attached = await super().attach(container)
            if call == "attach":
                reached.set()
                await asyncio.Event().wait()
            return attached

    reached = asyncio.Event()
    engine = HappensThenHangs({"d": None})
    task = asyncio.create_task(run_helper(engine, config("sleep", "60"), name="h"))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.by_name == {}


def test_helper_has_net_admin_and_root_only_where_it_is_asked_for():
    """The rules' helper alone may change the network; the proof's containers are nobody."""
    plain = helper_config("d", ["python3"], labels={}, network="host")
    admin = helper_config("d", ["nft", "x"], labels={}, network="host", needs_net_admin=True)
    assert (plain["User"], plain["HostConfig"]["CapAdd"]) == ("65534:65534", [])
    assert (admin["User"], admin["HostConfig"]["CapAdd"]) == ("0:0", ["NET_ADMIN"])
    for config in (plain, admin):
        assert config["HostConfig"]["CapDrop"] == ["ALL"]
        assert config["HostConfig"]["ReadonlyRootfs"] is True
        assert config["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true", f"seccomp={profile()}"]


def test_helper_ipv6_and_address():
    """The proof's containers may have IPv6, which a sandbox never has, and a fixed address."""
    config = helper_config("d", ["x"], labels={}, network="n", address="10.0.0.3", ipv6=True)
    assert config["HostConfig"]["Sysctls"] == {"net.ipv6.conf.all.disable_ipv6": "0"}
    assert config["NetworkingConfig"]["EndpointsConfig"]["n"]["IPAMConfig"]["IPv4Address"] == "10.0.0.3"
