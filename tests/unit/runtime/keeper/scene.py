"""One keeper with a daemon, an engine and a proxy in memory: what its tests have in common."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from proxy.contract.grant import Grant, GrantSecret
from proxy.policy.model import Policy
from runtime.engine.fake import FakeEngine
from runtime.engine.fake_programs import FakeProcess
from runtime.keeper.ends import CANCELLED
from runtime.keeper.folder import KeeperFolder, folder_of
from runtime.keeper.keeper import Keeper
from runtime.keeper.link import KeeperLink, open_link
from runtime.keeper.messages import Entry, Made, Said
from runtime.model.limits import Isolation, Limits
from runtime.sandbox.head import Head
from runtime.sandbox.sandbox import SandboxPlan
from tests.unit.runtime.fakes import FakeLink

RUN = str(uuid.uuid4())
STAND_IN = "sk-placeholder-0123456789"
HELD = {"slot": 3}
FILES = b"<files>"


@dataclass
class Scene:
    """One keeper, its engine and its proxy, and an agent that does what it is told."""

    folder: KeeperFolder
    engine: FakeEngine = field(init=False)
    link: FakeLink = field(default_factory=FakeLink)
    grace_s: float = 60.0
    serving: asyncio.Task[None] | None = None
    stdin: bytes = b""
    daemons: list[KeeperLink] = field(default_factory=list)
    said: asyncio.Queue[tuple[int, bytes] | None] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self.engine = FakeEngine({"agent": self._agent})

    async def _agent(self, process: FakeProcess) -> int:
        self.stdin = await process.stdin.read()
        while (said := await self.said.get()) is not None:
            process.write(*said)
        return 0

    def serve(self) -> None:
        """Begin to keep."""
        listener = self.folder.listen()
        keeper = Keeper(self.folder, engine=self.engine, open_worker=self.link.open, grace_s=self.grace_s)
        self.serving = asyncio.create_task(keeper.serve(listener))

    async def daemon(self) -> KeeperLink:
        """One more that connects."""
        self.daemons.append(await open_link(self.folder))
        return self.daemons[-1]

    async def begin(self, *, go: bool = True, files: bytes = FILES, **changes: Any) -> KeeperLink:
        """As a daemon does, up to an agent that has everything."""
        self.serve()
        daemon = await self.daemon()
        plan = replace(PLAN, **changes)
        daemon.begin(plan, HELD, [Entry(kind="state", data={"state": "queued"}, at=1.0)])
        await until(daemon, Made)
        if go:
            daemon.go()
            await daemon.send_parcel(iter([files]))
        return daemon

    async def over(self) -> None:
        """Wait until the keeper has ended."""
        assert self.serving is not None
        await asyncio.wait_for(self.serving, 10)


PLAN = SandboxPlan(
    run_id=RUN,
    container="sandbox-1",
    config={"Image": "agent"},
    network="net",
    isolation=Isolation.RUNC,
    limits=Limits(timeout_s=30, grace_s=0.05),
    head=Head(("python3", "main.py"), None, {}, len(FILES), {}, 0),
    grant=Grant(
        sandbox_id=RUN,
        revision=1,
        policy=Policy("p"),
        proxy_address="10.0.0.2",
        sandbox_address="10.0.0.3",
        expires_in_s=60.0,
        token="marker-token-0123456789",
        secrets=(GrantSecret("KEY", "marker-old-value", STAND_IN), GrantSecret("HELD", "marker-held-value")),
    ),
)


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """A keeper that has not begun; its network is not looked at."""
    monkeypatch.setattr("runtime.keeper.work.NETWORK_CHECK_S", 3600)
    made = Scene(folder_of(tmp_path, RUN))
    yield made
    for daemon in made.daemons:
        daemon.end(CANCELLED)
        await daemon.close(is_recorded=False)
    if made.serving is not None:
        made.serving.cancel()
        await asyncio.gather(made.serving, return_exceptions=True)
    await made.engine.close()


async def until[T](daemon: KeeperLink, kind: type[T], seen: list[Said] | None = None) -> T:
    """The next message of this kind; those before it are seen."""
    async with asyncio.timeout(10):
        async for said in daemon.told():
            if isinstance(said, kind):
                return said
            if seen is not None:
                seen.append(said)
    raise AssertionError(f"no {kind.__name__}")


async def log_of(daemon: KeeperLink, text: str, seen: list[Said] | None = None) -> None:
    """Wait for this line of the agent's log."""
    while (entry := await until(daemon, Entry, seen)).data.get("text") != text:
        if seen is not None:
            seen.append(entry)


async def leave(daemon: KeeperLink) -> None:
    """As a killed daemon does."""
    await daemon.close(is_recorded=False)
