"""A run that is being handed over: a daemon that goes away before it has done so leaves no run."""

from __future__ import annotations

import asyncio

import pytest

from runtime.keeper.messages import Ended, Parcel, encode
from tests.unit.runtime.keeper.scene import Scene, leave, until


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
