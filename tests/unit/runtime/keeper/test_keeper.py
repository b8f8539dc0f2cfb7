"""A keeper whose daemons come and go: its run goes on, and every daemon is told the whole story."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
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
from runtime.engine.protocol import STDERR, STDOUT
from runtime.errors import NotReadyError
from runtime.keeper.ends import CANCELLED, DAEMON_STOPPED
from runtime.keeper.folder import KeeperFolder, folder_of
from runtime.keeper.keeper import Keeper
from runtime.keeper.link import KeeperLink, end_left, open_link
from runtime.keeper.messages import Ended, Entry, Go, Made, Parcel, Said, encode
from runtime.model.limits import Isolation, Limits
from runtime.model.secret import Secret
from runtime.sandbox.head import Head
from runtime.sandbox.outcome import judge
from runtime.sandbox.sandbox import SandboxPlan, plan_from_wire
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


async def test_a_run_that_is_recorded_leaves_nothing(scene: Scene):
    """The usual way: its files get to it, its end comes with what it wrote, and then all of it is gone."""
    daemon = await scene.begin()
    scene.said.put_nowait((STDOUT, b'{"n": 1}'))
    scene.said.put_nowait(None)
    ended = await until(daemon, Ended)
    assert (ended.state, ended.has_result) == ("completed", True)
    assert scene.stdin.endswith(FILES)
    assert scene.engine.by_name == {}
    assert scene.link.grants == {}
    assert scene.folder.result.read_bytes() == b'{"n":1}'

    await daemon.close(is_recorded=True)
    await scene.over()
    assert not scene.folder.path.exists()


async def test_a_daemon_that_is_killed_is_not_missed(scene: Scene):
    """The agent goes on, and the next daemon is told every line in order, with what was before it."""
    daemon = await scene.begin()
    scene.said.put_nowait((STDERR, b"one\n"))
    await log_of(daemon, "one\n")
    await leave(daemon)
    scene.said.put_nowait((STDERR, b"two\n"))
    while b"two" not in scene.folder.journal.read_bytes():
        await asyncio.sleep(0.01)

    successor = await scene.daemon()
    adopted = await successor.adopt()
    assert adopted is not None
    assert (adopted.held, adopted.pid, plan_from_wire(adopted.plan)) == (HELD, os.getpid(), PLAN)
    scene.said.put_nowait((STDERR, b"three\n"))
    scene.said.put_nowait(None)
    seen: list[Said] = []
    ended = await until(successor, Ended, seen)

    assert [each.data for each in seen if isinstance(each, Entry)] == [
        {"state": "queued"},
        {"text": "one\n"},
        {"text": "two\n"},
        {"text": "three\n"},
    ]
    assert ended.state == "completed"
    await successor.close(is_recorded=True)
    await scene.over()


async def test_an_end_without_a_daemon_waits_for_one(scene: Scene):
    """The result is there for whoever comes."""
    await leave(await scene.begin())
    scene.said.put_nowait((STDOUT, b"7"))
    scene.said.put_nowait(None)
    while not scene.folder.result.exists():
        await asyncio.sleep(0.01)

    successor = await scene.daemon()
    assert await successor.adopt() is not None
    assert (await until(successor, Ended)).state == "completed"
    await successor.close(is_recorded=True)
    await scene.over()


async def test_a_daemon_that_does_not_come_back_ends_the_run(scene: Scene):
    """Closed: the sandbox is gone, the grant too; how it ended is left for a later daemon."""
    scene.grace_s = 0.2
    await leave(await scene.begin())
    await scene.over()

    assert scene.engine.by_name == {}
    assert scene.link.grants == {}
    lines = scene.folder.journal.read_bytes()
    assert b'"state":"failed"' in lines.splitlines()[-1]
    assert b"did not come back" in lines
    with pytest.raises(ConnectionRefusedError):
        await open_link(scene.folder)


async def test_an_agent_that_ends_while_nobody_comes_has_its_result(scene: Scene):
    """The grace is over after it: what it wrote stays."""
    scene.grace_s = 0.5
    daemon = await scene.begin()
    scene.said.put_nowait((STDOUT, b"7"))
    scene.said.put_nowait(None)
    await leave(daemon)
    await scene.over()

    assert b'"state":"completed"' in scene.folder.journal.read_bytes()
    assert scene.folder.result.read_bytes() == b"7"


@pytest.mark.parametrize("sent", [None, b"", b"<fil"])
async def test_a_daemon_that_is_killed_before_it_has_sent_all_ends_the_run(scene: Scene, sent: bytes | None):
    """No agent runs on half of its files, and nobody waits for the rest."""
    daemon = await scene.begin(go=False)
    daemon.go()
    if sent is not None:
        with scene.folder.socket_path() as path:
            _, writer = await asyncio.open_unix_connection(path)
        writer.write(encode(Parcel()) + sent)
        await writer.drain()
        writer.close()
    else:
        await asyncio.sleep(0)
        await leave(daemon)
        daemon = await scene.daemon()
        assert await daemon.adopt() is not None
    ended = await until(daemon, Ended)

    assert ended.error is not None
    assert "handed over" in ended.error["message"]
    assert scene.engine.by_name == {}


async def test_a_daemon_that_is_killed_before_the_agent_may_start_ends_the_run(scene: Scene):
    """It was its daemon that had to say whether the guard holds."""
    await leave(await scene.begin(go=False))
    successor = await scene.daemon()
    assert await successor.adopt() is not None
    ended = await until(successor, Ended)

    assert ended.state == "failed"
    assert not [call for call in scene.engine.calls if call.startswith("start")]


async def test_a_daemon_that_never_says_what_to_keep_is_no_run(scene: Scene):
    """Nothing is left of it."""
    scene.serve()
    await leave(await scene.daemon())
    await scene.over()
    assert not scene.folder.path.exists()


async def test_nobody_who_comes_is_no_run(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    """A daemon that was killed right then."""
    monkeypatch.setattr("runtime.keeper.keeper.BEGIN_TIMEOUT_S", 0.05)
    scene.serve()
    await scene.over()
    assert not scene.folder.path.exists()


async def test_what_a_killed_daemon_left_can_be_ended(scene: Scene, tmp_path: Path):
    """`orch down` ends it; how it ended is left for the next daemon. Who has ended already is none of them."""
    scene.grace_s = 0.3
    await leave(await scene.begin())
    assert await end_left(tmp_path, DAEMON_STOPPED) == 1
    await scene.over()

    assert scene.engine.by_name == {}
    assert b"the daemon was stopped" in scene.folder.journal.read_bytes().splitlines()[-1]
    assert await end_left(tmp_path, DAEMON_STOPPED) == 0


async def test_the_last_daemon_is_the_one(scene: Scene):
    """One that hangs is let go of; what it still says is not heard."""
    hung = await scene.begin()
    successor = await scene.daemon()
    assert await successor.adopt() is not None
    with pytest.raises(AssertionError, match="no Ended"):
        await until(hung, Ended)

    successor.end(CANCELLED)
    assert (await until(successor, Ended)).state == "cancelled"


async def test_a_run_is_begun_once(scene: Scene):
    """Who comes second is turned away, and the first goes on."""
    daemon = await scene.begin()
    other = await scene.daemon()
    other.begin(PLAN, {}, [])
    with pytest.raises(AssertionError, match="no Made"):
        await until(other, Made)

    daemon.end(CANCELLED)
    assert (await until(daemon, Ended)).state == "cancelled"


@pytest.mark.parametrize("line", [encode(Go()), b"news\n", b"x" * 100, b'{"op": "recorded"}\n'])
async def test_who_says_what_it_should_not_is_no_daemon(scene: Scene, line: bytes):
    """The connection is closed; the run goes on for the one that there is."""
    daemon = await scene.begin()
    with scene.folder.socket_path() as path:
        reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()

    daemon.end(CANCELLED)
    assert (await until(daemon, Ended)).state == "cancelled"


async def test_a_run_that_is_recorded_before_its_end_is_ended(scene: Scene):
    """Its record is final, or nobody has it: nothing that it still does would be known."""
    daemon = await scene.begin()
    await daemon.close(is_recorded=True)
    await scene.over()
    assert scene.engine.by_name == {}
    assert not scene.folder.path.exists()


@pytest.mark.parametrize("value", ["marker-new-value", None])
async def test_a_changed_secret_is_enforced_and_handed_down(scene: Scene, value: str | None):
    """The next daemon is given what is enforced by then, and what an agent prints of it is masked."""
    daemon = await scene.begin()
    await daemon.replace_secret("KEY", None if value is None else Secret(value))
    granted = {s.name: s.value for s in scene.link.grants[RUN].secrets}
    expected = {"HELD": "marker-held-value"} | ({"KEY": value} if value else {})
    assert granted == expected

    await leave(daemon)
    successor = await scene.daemon()
    adopted = await successor.adopt()
    assert adopted is not None
    assert {s["name"]: s["value"] for s in adopted.plan["grant"]["secrets"]} == expected
    scene.said.put_nowait((STDERR, f"key {value or 'marker-old-value'}\n".encode()))
    await log_of(successor, "key ***\n")


async def test_the_journal_holds_no_secret(scene: Scene):
    """Neither what the agent prints nor what the keeper was given."""
    daemon = await scene.begin()
    scene.said.put_nowait((STDERR, b"marker-old-value marker-held-value marker-token-0123456789\n"))
    scene.said.put_nowait((STDOUT, b'{"k": "marker-held-value"}'))
    scene.said.put_nowait(None)
    await until(daemon, Ended)

    for path in scene.folder.path.iterdir():
        with contextlib.suppress(OSError):  # the socket
            assert b"marker" not in path.read_bytes()


async def test_a_full_disk_ends_the_run(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    """An agent whose story cannot be kept does not go on."""
    daemon = await scene.begin()

    def full(_fd: int, _data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("runtime.keeper.folder.os.write", full)
    scene.said.put_nowait((STDERR, b"one\n"))
    ended = await until(daemon, Ended)

    assert ended.error is not None
    assert "journal" in ended.error["message"]
    assert scene.engine.by_name == {}


async def test_an_end_that_cannot_be_told_ends_the_keeper(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    """The daemon takes the connection's end for it, rather than to wait for ever."""
    daemon = await scene.begin()

    def fail(_story: object, _done: object) -> None:
        raise MemoryError

    monkeypatch.setattr("runtime.keeper.story.Story.end", fail)
    scene.said.put_nowait(None)
    with pytest.raises(AssertionError, match="no Ended"):
        await until(daemon, Ended)
    await scene.over()
    assert scene.engine.by_name == {}


async def test_an_end_waits_for_no_secret(scene: Scene):
    """A proxy that does not acknowledge a change does not hold up the run's end."""
    daemon = await scene.begin()

    async def never() -> None:
        await asyncio.Event().wait()

    scene.link.before_grant = never
    changing = asyncio.create_task(daemon.replace_secret("KEY", Secret("marker-new-value")))
    await asyncio.sleep(0)
    daemon.end(CANCELLED)

    assert (await until(daemon, Ended)).state == "cancelled"
    changing.cancel()
    await asyncio.gather(changing, return_exceptions=True)


async def test_a_log_that_cannot_be_written_keeps_no_run_alive(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    """A terminal that was closed takes no line; the daemon is missed all the same, and the run ended."""

    class Broken:
        """Every word of it raises."""

        def error(self, *_args: object, **_more: object) -> None:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("runtime.keeper.keeper.structlog.get_logger", Broken)
    scene.grace_s = 0.1
    daemon = await scene.begin()
    await leave(daemon)
    async with asyncio.timeout(10):
        while scene.engine.by_name:
            await asyncio.sleep(0.01)
    assert b"did not come back" in scene.folder.journal.read_bytes()


@pytest.mark.parametrize("has_gone", [True, False])
async def test_a_keeper_whose_run_ends_for_another_reason_ends_too(scene: Scene, *, has_gone: bool):
    """The grace is over while the run is being ended already: nobody is waited for behind that."""
    scene.grace_s = 0
    daemon = await scene.begin(go=has_gone)
    daemon.end(CANCELLED)
    await asyncio.sleep(0)
    await leave(daemon)
    await scene.over()
    assert scene.engine.by_name == {}


async def test_a_parcel_for_a_run_that_never_began_keeps_nobody(scene: Scene):
    """The daemon was killed in the middle of its first word."""
    scene.serve()
    with scene.folder.socket_path() as path:
        _, parcel = await asyncio.open_unix_connection(path)
        _, half = await asyncio.open_unix_connection(path)
    parcel.write(encode(Parcel()) + b"<fil")
    half.write(b'{"op": "beg')
    await asyncio.sleep(0.05)
    for writer in (parcel, half):
        writer.close()
    await scene.over()
    assert not scene.folder.path.exists()


async def test_a_disk_that_is_full_from_the_first_line_on_starts_no_agent(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
):
    """A run without a journal would be one that a later daemon does not know."""
    scene.serve()
    daemon = await scene.daemon()

    def full(_fd: int, _data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("runtime.keeper.folder.os.write", full)
    daemon.begin(PLAN, HELD, [Entry(kind="state", data={"state": "queued"}, at=1.0)])
    ended = await until(daemon, Ended)

    assert "journal" in str(ended.error)
    assert not [call for call in scene.engine.calls if call.startswith("start")]


async def test_a_new_value_that_does_not_fit_takes_the_old_one_away(scene: Scene):
    """What the daemon is told of as not done is not in force either."""
    many = tuple(GrantSecret(f"S{n}", "v" * 16_000, f"{STAND_IN}{n:03}") for n in range(31))
    grant = replace(PLAN.grant, secrets=(*many, *PLAN.grant.secrets))
    daemon = await scene.begin(grant=grant)
    with pytest.raises(NotReadyError):
        await daemon.replace_secret("KEY", Secret("w" * 16_000 + "\U0001f511" * 3000))

    assert "KEY" not in {secret.name for secret in scene.link.grants[RUN].secrets}
    daemon.end(CANCELLED)
    assert (await until(daemon, Ended)).state == "cancelled"


async def test_nothing_is_told_behind_the_end(scene: Scene):
    """What the daemon says of a run that has ended comes too late for its story."""
    daemon = await scene.begin()
    scene.said.put_nowait(None)
    await until(daemon, Ended)
    daemon.tell("llm_call_failed", {"late": True})
    await daemon.close(is_recorded=False)
    successor = await scene.daemon()
    assert await successor.adopt() is not None
    seen: list[Said] = []
    await until(successor, Ended, seen)
    assert b"late" not in scene.folder.journal.read_bytes()


async def test_a_keeper_that_does_not_answer_is_waited_for_a_while_only(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
):
    """Else one run would keep a daemon from starting."""
    monkeypatch.setattr("runtime.keeper.link.ADOPT_TIMEOUT_S", 0.05)
    with scene.folder.listen():
        link = await scene.daemon()
        assert await link.adopt() is None


async def test_a_result_that_is_slow_to_read_keeps_no_daemon_waiting(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
):
    """The keeper answers while it masks."""
    reading, go_on = threading.Event(), threading.Event()

    def slow(*args: Any) -> Any:
        reading.set()
        go_on.wait(30)
        return judge(*args)

    monkeypatch.setattr("runtime.keeper.work.judge", slow)
    await leave(await scene.begin())
    scene.said.put_nowait(None)
    await asyncio.to_thread(reading.wait, 30)
    successor = await scene.daemon()
    assert await successor.adopt() is not None
    successor.end(CANCELLED)  # too late
    go_on.set()
    assert (await until(successor, Ended)).state == "completed"
