"""A keeper whose disk, log or memory fails: its run ends, and nobody waits for it."""

from __future__ import annotations

import asyncio

import pytest

from runtime.engine.protocol import STDERR
from runtime.keeper.messages import Ended, Entry
from tests.unit.runtime.keeper.scene import HELD, PLAN, Scene, leave, until


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
