"""The parent of the keepers and what it forks, as real processes; no engine is spoken to before a run begins."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.errors import InternalError
from runtime.keeper.folder import folders
from runtime.keeper.link import KeeperLink
from runtime.keeper.nursery import Nursery
from runtime.keeper.process import DESCRIPTORS, MEMORY_BYTES, KeeperSettings


@pytest.fixture
async def nursery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Nursery]:
    """One that has started; its keepers end with their connections, since no run is begun."""
    monkeypatch.setenv("OPENAI_API_KEY", "marker-key")
    settings = KeeperSettings(
        home=tmp_path / "keepers", control_socket=tmp_path / "none.sock", marks={}, grace_s=0
    )
    made = Nursery(settings)
    await made.start()
    yield made
    await made.close()


def process_of(link: KeeperLink) -> int:
    """The keeper's process, out of its pidfd (proc(5), fdinfo)."""
    info = Path(f"/proc/self/fdinfo/{link._process}").read_text()
    return next(int(line.split()[1]) for line in info.splitlines() if line.startswith("Pid:"))


def is_there(pid: int) -> bool:
    """Whether the process lives."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def limits_of(pid: int) -> dict[str, list[str]]:
    """Soft and hard limit by name (proc(5), limits)."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return {line[:26].strip(): line[26:].split()[:2] for line in lines}


def read(path: str) -> bytes:
    """A file of /proc."""
    return Path(path).read_bytes()


def descriptors(pid: int) -> list[Path]:
    """What a process has open."""
    return list(Path(f"/proc/{pid}/fd").iterdir())


async def gone(pid: int) -> None:
    """Wait for the process's end."""
    async with asyncio.timeout(20):
        while is_there(pid):
            await asyncio.sleep(0.02)


def a_run() -> str:
    """The id of a new one."""
    return str(uuid.uuid4())


async def test_keepers_that_live_are_counted(nursery: Nursery):
    """By their processes: one that was killed is not one of them, nor one that was let go of."""
    assert nursery.is_warm
    links = [await nursery.open(a_run()) for _ in range(3)]
    assert nursery.alive == 3
    pid = process_of(links[0])
    links[0].kill()
    await gone(pid)
    assert nursery.alive == 2
    await links[1].close(is_recorded=False)
    assert nursery.alive == 1
    await nursery.close()
    assert not nursery.is_warm
    await links[0].close(is_recorded=False)
    await links[2].close(is_recorded=False)


async def test_each_run_has_a_process_of_its_own(nursery: Nursery):
    """Limited, in a session of its own, without a key of the caller's, and without the daemon's pipes."""
    links = [await nursery.open(a_run()) for _ in range(2)]
    pids = [process_of(link) for link in links]
    assert len({*pids, os.getpid()}) == 3
    for pid in pids:
        async with asyncio.timeout(20):  # it takes its limits before it reads a word
            while (rows := limits_of(pid))["Max core file size"] != ["0", "0"]:
                await asyncio.sleep(0.02)
        assert os.getsid(pid) == pid
        assert rows["Max open files"] == [str(DESCRIPTORS)] * 2
        assert int(rows["Max data size"][1]) < MEMORY_BYTES + (512 << 20)
        assert read(f"/proc/{pid}/oom_score_adj") == b"500\n"
        assert b"marker-key" not in read(f"/proc/{pid}/environ")
        assert {str(fd.readlink()) for fd in descriptors(pid) if fd.name in {"0", "1"}} == {os.devnull}
    for link in links:
        await link.close(is_recorded=True)
    for pid in pids:
        await gone(pid)
    assert nursery.left() == []


async def test_many_runs_at_once_are_opened_at_once(nursery: Nursery):
    """Lines that come together are answered together, not one at each look."""
    links = await asyncio.gather(*(nursery.open(a_run()) for _ in range(20)))
    assert len({process_of(link) for link in links}) == 20
    for link in links:
        await link.close(is_recorded=True)
    assert nursery.left() == []


async def test_a_keeper_outlives_its_parent(nursery: Nursery):
    """What ends the daemon, and with it the parent, does not end a run."""
    link = await nursery.open(a_run())
    pid = process_of(link)
    await nursery.close()

    assert is_there(pid)
    await link.close(is_recorded=True)
    await gone(pid)


async def test_a_parent_that_was_killed_is_started_again(nursery: Nursery):
    """The next run has a keeper all the same."""
    assert nursery._parent is not None
    nursery._parent.kill()
    await nursery._parent.wait()

    link = await nursery.open(a_run())
    await link.close(is_recorded=True)


async def test_a_run_has_one_keeper(nursery: Nursery):
    """A second one is refused, in words for the caller."""
    run_id = a_run()
    link = await nursery.open(run_id)
    with pytest.raises(InternalError, match="keeps the run"):
        await nursery.open(run_id)
    await link.close(is_recorded=True)


async def test_a_folder_that_cannot_be_made_is_no_keeper(tmp_path: Path):
    """A disk that takes nothing more: the run fails, and the daemon does not wait."""
    (tmp_path / "keepers").write_text("no folder")
    settings = KeeperSettings(
        home=tmp_path / "keepers", control_socket=tmp_path / "none.sock", marks={}, grace_s=0
    )
    nursery = Nursery(settings)
    with pytest.raises(InternalError, match="keeps the run"):
        await nursery.open(a_run())
    await nursery.close()


async def test_a_keeper_that_hangs_can_be_killed(nursery: Nursery):
    """And leaves its folder to who killed it."""
    link = await nursery.open(a_run())
    pid = process_of(link)
    os.kill(pid, signal.SIGSTOP)
    link.kill()
    await gone(pid)
    await link.close(is_recorded=True)
    assert nursery.left() == []


async def test_who_lives_is_found_and_who_does_not_is_not(nursery: Nursery):
    """A later daemon asks the folders that there are."""
    link = await nursery.open(a_run())
    [folder] = nursery.left()
    pid = process_of(link)
    os.kill(pid, signal.SIGKILL)
    await gone(pid)

    assert await nursery.adopt(folder) is None
    await link.close(is_recorded=False)
    folder.remove()


async def test_a_hundred_runs_one_after_another_leave_nothing(nursery: Nursery, tmp_path: Path):
    """No descriptor, process or folder, here or at the parent."""
    assert nursery._parent is not None
    parent = nursery._parent.pid
    await (await nursery.open(a_run())).close(is_recorded=True)
    before = [len(descriptors(pid)) for pid in (os.getpid(), parent)]
    for _ in range(100):
        await (await nursery.open(a_run())).close(is_recorded=True)

    assert [len(descriptors(pid)) for pid in (os.getpid(), parent)] == before
    assert folders(tmp_path / "keepers") == []
