"""A run service on an engine in memory, with everything around it, for the tests of what a run goes through."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proxy.policy.model import Policy
from runtime.containers.resolv_conf import ResolvConfs
from runtime.engine.fake import FakeEngine
from runtime.engine.fake_programs import FakeProcess
from runtime.engine.protocol import STDERR, STDOUT, NetworkSpec
from runtime.errors import NotFoundError
from runtime.model.limits import Limits
from runtime.model.run import Run, RunRequest
from runtime.network.connected import RunNetworks
from runtime.network.proof import GuardStatus
from runtime.network.slots import NetworkSlots
from runtime.runs.service import RunService
from tests.unit.runtime.fake_audit import FakeAudit
from tests.unit.runtime.fakes import FakeKeepers, FakeLink, FakeVault, MemoryStore

IMAGE = "orchbox/agent-python:local"


INSTALLATION = "0" * 32


POOL = ipaddress.IPv4Network("10.231.0.0/24")


Agent = Callable[[FakeProcess, dict[str, Any]], Awaitable[int]]


class FakeGuard:
    """A guard that holds, until told otherwise."""

    def __init__(self) -> None:
        self.status = GuardStatus(is_proved=True, detail="proved")
        self.on_lost: Callable[[], None] = lambda: None

    def lose(self) -> None:
        """As the watcher finds it changed."""
        self.status = GuardStatus(detail="the guard's rules were changed or removed")
        self.on_lost()


@dataclass
class World:
    """A service and everything around it."""

    engine: FakeEngine
    link: FakeLink
    store: MemoryStore
    guard: FakeGuard
    service: RunService
    vault: FakeVault
    keepers: FakeKeepers
    resolv_dir: Path
    audit: FakeAudit
    agent: Agent | None = None

    async def play(self, process: FakeProcess) -> int:
        """The sandbox's init, as the agent sees it."""
        head = json.loads(await process.stdin.readline())
        head["rest"] = await process.stdin.read()
        assert self.agent is not None
        return await self.agent(process, head)

    async def run(self, **changes: Any) -> Run:
        """Run to the end."""
        run = await self.service.create(request(**changes))
        return await self.end_of(run)

    async def end_of(self, run: Run) -> Run:
        """The run's final record, once its events have ended."""
        async for _ in self.service.events(run.id):
            pass
        await self.service._ends.wait(run.id)  # its keeper is let go of
        final = await self.service.get(run.id)
        assert final.state.is_final
        return final

    async def until_running(self, run: Run) -> None:
        """Wait for the agent's process."""
        async for event in self.service.events(run.id):
            if event.data.get("state") == "running":
                return

    def assert_nothing_left(self) -> None:
        """Only the proxy and its egress network are there, and no grant."""
        assert set(self.engine.by_name) == {"the-proxy"}
        assert set(self.engine.by_network) == {"egress"}
        assert self.link.grants == {}
        assert self.keepers.left() == []


def request(**changes: Any) -> RunRequest:
    """A run of a minute at most, which nothing here takes."""
    values: dict[str, Any] = {
        "agent_ref": "acme/test",
        "image": IMAGE,
        "argv": ("python3", "main.py"),
        "bundle": b"<tar>",
        "input": b'{"q": 1}',
        "policy_name": "llm-only",
        "limits": Limits(timeout_s=60, grace_s=0.05),
        **changes,
    }
    return RunRequest(**values)


def policies(name: str) -> Policy:
    """The policies there are."""
    if name != "llm-only":
        raise NotFoundError(f"no policy named {name}")
    return Policy(name)


def build(engine: FakeEngine, home: Path) -> World:
    """A service on this engine, whose keepers are in this process and keep their folders in `home`."""
    link, store, guard, vault = FakeLink(), MemoryStore(), FakeGuard(), FakeVault()
    slots = NetworkSlots(engine, instance="default", pool=POOL)
    networks = RunNetworks(
        engine, slots, proxy_container="the-proxy", resolv_confs=ResolvConfs(home / "resolv")
    )
    keepers = FakeKeepers(home / "keepers", engine, link)
    service = RunService(
        engine=engine,
        link=link,
        store=store,
        guard=guard,
        networks=networks,
        keepers=keepers,
        policies=policies,
        instance="default",
        installation=INSTALLATION,
        memory_percent=100,
        vault=vault,
        audit=(audit := FakeAudit()),
    )
    return World(engine, link, store, guard, service, vault, keepers, home / "resolv", audit)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A started service on an engine with a proxy."""
    engine = FakeEngine({"proxy": None}, marks={"io.orchbox.installation": INSTALLATION})
    world = build(engine, tmp_path)
    engine.add_image(IMAGE, world.play)
    await engine.create_network(NetworkSpec("egress", None, None, None, is_internal=False, labels={}))
    await engine.create("the-proxy", {"Image": "proxy", "HostConfig": {"NetworkMode": "egress"}})
    await world.service.start()
    yield world
    await world.service.close()
    await world.keepers.close()
    await engine.close()


async def answer(process: FakeProcess, head: dict[str, Any]) -> int:
    """An agent that works."""
    process.write(STDERR, b"working\n")
    process.write(STDOUT, b'{"answer": 42}')
    return 0


async def hang(process: FakeProcess, head: dict[str, Any]) -> int:
    """An agent that never ends by itself."""
    process.write(STDOUT, b'{"partial": true}')
    await asyncio.Event().wait()
    return 0


async def stubborn(process: FakeProcess, head: dict[str, Any]) -> int:
    """An agent that ignores SIGTERM."""
    process.on_sigterm = lambda: None
    return await hang(process, head)
