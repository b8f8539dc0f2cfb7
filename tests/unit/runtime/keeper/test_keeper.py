"""A keeper whose daemons come and go: its run goes on, and every daemon is told the whole story."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from runtime.engine.protocol import STDERR, STDOUT
from runtime.keeper.ends import CANCELLED, DAEMON_STOPPED
from runtime.keeper.link import end_left, open_link
from runtime.keeper.messages import Ended, Entry, Go, Made, Said, encode
from runtime.sandbox.outcome import judge
from runtime.sandbox.sandbox import plan_from_wire
from tests.unit.runtime.keeper.scene import FILES, HELD, PLAN, Scene, leave, log_of, until


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
