"""The API's socket, where it can be had and where it cannot (serving itself: `integration/test_runs.py`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn

from runtime.access.caller import PeerProtocol
from runtime.access.sleeping_server import SleepingServer
from runtime.api.app import make_api
from runtime.daemon.serve import _announce, _bind, forget_keys
from runtime.daemon.settings import Settings
from runtime.engine.fake_programs import FakeProcess
from runtime.engine.protocol import STDOUT
from runtime.errors import NotReadyError
from runtime.model.run import Run
from tests.unit.runtime.run_world import World, hang, request, world

__all__ = ["world"]
LIMIT_S = 60.0


def test_the_socket_is_its_owners_alone(tmp_path: Path):
    """From the first moment on; what a killed daemon left under its name is replaced."""
    path = tmp_path / "api.sock"
    path.touch()
    with _bind(path):
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "said"),
    [("x" * 120, "AF_UNIX path too long"), ("none/api.sock", "No such file"), ("folder", "Is a directory")],
)
def test_a_socket_that_cannot_be_had_is_told_with_its_path_and_a_remedy(tmp_path: Path, name: str, said: str):
    """Not as an error of ours, and not with a reason that is None."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotReadyError, match=said) as told:
        _bind(tmp_path / name)

    assert str(tmp_path / name) in told.value.message
    assert "ORCHBOX_RUN_DIR" in (told.value.hint or "")


def test_a_socket_in_use_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Somebody else bound the name after it was made free."""
    monkeypatch.setattr(Path, "unlink", lambda *_args, **_kw: None)
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        with pytest.raises(NotReadyError, match="Address already in use"):
            _bind(path)


# -- the end ----------------------------------------------------------------------------------------


@dataclass
class Served:
    """A daemon's API on its socket, which a signal stops as `orch up` does."""

    socket: Path
    server: SleepingServer
    serving: asyncio.Task[None]
    heard: socket.socket
    told: list[dict[str, Any]] = field(default_factory=list)
    """The events of a stream that was followed to its end."""

    def client(self) -> httpx.AsyncClient:
        """Somebody who calls."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.socket))
        return httpx.AsyncClient(transport=transport, base_url="http://orchbox", timeout=LIMIT_S)

    async def follow(self, run: Run) -> None:
        """A stream to its end: httpx raises where it is cut, since its last chunk is missing."""
        async with self.client() as client, client.stream("GET", f"/v1/runs/{run.id}/events") as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    self.told.append(json.loads(line.removeprefix("data: ")))

    async def until_running(self) -> None:
        """The stream has told that the agent runs."""
        async with asyncio.timeout(LIMIT_S):
            while not any(event.get("state") == "running" for event in self.told):
                await asyncio.sleep(0)

    async def hear(self) -> str:
        """The next word to the service manager."""
        data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.heard, 1000), LIMIT_S)
        return data.decode().partition("\n")[0]


@contextlib.asynccontextmanager
async def serving(world: World, folder: Path, stop_s: int) -> AsyncIterator[Served]:
    """The real API over a real service, whose engine is in memory."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(folder / "notify"))
        heard.setblocking(False)
        env = {"ORCHBOX_RUN_DIR": str(folder), "ORCHBOX_STOP_SECONDS": str(stop_s)}
        settings = Settings.from_env({"HOME": "/x", "NOTIFY_SOCKET": str(folder / "notify"), **env})
        config = uvicorn.Config(
            make_api(world.service),
            http=PeerProtocol,
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=2,
        )
        server = SleepingServer(config)
        _announce(server, SimpleNamespace(service=world.service), settings)  # type: ignore[arg-type]
        before = signal.signal(signal.SIGTERM, lambda *_args: None)
        try:
            with _bind(settings.api_socket) as listener:
                task = asyncio.create_task(server.serve(sockets=[listener]))
                yield Served(settings.api_socket, server, task, heard)
                server.should_exit = True
                await asyncio.wait_for(task, LIMIT_S)
        finally:
            signal.signal(signal.SIGTERM, before)


async def test_a_signal_tells_each_follower_the_end(world: World, tmp_path: Path):
    """Runs are ended, and their streams are complete: none is cut before the last event."""
    world.agent = hang
    async with serving(world, tmp_path, stop_s=0) as served:
        assert await served.hear() == "READY=1"
        run = await world.service.create(request())
        following = asyncio.create_task(served.follow(run))
        await served.until_running()

        os.kill(os.getpid(), signal.SIGTERM)

        assert await served.hear() == "STOPPING=1"
        await asyncio.wait_for(following, LIMIT_S)
        await asyncio.wait_for(asyncio.shield(served.serving), LIMIT_S)
    assert [event["state"] for event in served.told if "state" in event][-1] == "cancelled"
    assert any("daemon was stopped" in str(event.get("message")) for event in served.told)


async def test_a_daemon_that_has_patience_finishes_what_it_has(world: World, tmp_path: Path):
    """The run completes; meanwhile the API answers, and a new run is told when to come again."""
    go_on = asyncio.Event()

    async def until_told(process: FakeProcess, head: dict[str, Any]) -> int:
        await go_on.wait()
        process.write(STDOUT, b'{"answer": 42}')
        return 0

    world.agent = until_told
    async with serving(world, tmp_path, stop_s=3600) as served, served.client() as client:
        assert await served.hear() == "READY=1"
        run = await world.service.create(request())
        following = asyncio.create_task(served.follow(run))
        await served.until_running()

        os.kill(os.getpid(), signal.SIGTERM)
        assert await served.hear() == "STOPPING=1"

        asked = {"agent_ref": "a", "image": "i", "argv": ["true"], "input": "{}"}
        refused = await client.post(
            "/v1/runs", data={"request": json.dumps(asked)}, files=[("bundle", ("b", b""))]
        )
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        assert 0 < int(refused.headers["retry-after"]) <= 3605
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get(f"/v1/runs/{run.id}")).json()["state"] == "running"
        assert not served.serving.done()
        go_on.set()
        await asyncio.wait_for(following, LIMIT_S)
        await asyncio.wait_for(asyncio.shield(served.serving), LIMIT_S)
    assert [event["state"] for event in served.told if "state" in event][-1] == "completed"


async def test_a_second_signal_waits_no_longer(world: World, tmp_path: Path):
    """The runs are ended then, in order."""
    world.agent = hang
    async with serving(world, tmp_path, stop_s=3600) as served:
        assert await served.hear() == "READY=1"
        run = await world.service.create(request())
        following = asyncio.create_task(served.follow(run))
        await served.until_running()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await served.hear() == "STOPPING=1"
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(following, LIMIT_S)
        await asyncio.wait_for(asyncio.shield(served.serving), LIMIT_S)
    assert [event["state"] for event in served.told if "state" in event][-1] == "cancelled"


def test_no_program_that_we_start_speaks_for_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The service manager's socket is in no child's environment."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    settings = Settings.from_env(dict(os.environ))
    forget_keys(settings)
    assert settings.notify_socket == str(tmp_path / "notify")
    assert "NOTIFY_SOCKET" not in os.environ
