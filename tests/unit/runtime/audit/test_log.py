"""runtime.audit.log: in order, on the disk when it says so, and nothing noted is lost while a disk is full."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from runtime.audit import log as module
from runtime.audit.files import AuditFolder
from runtime.audit.log import AuditLog
from runtime.audit.writer import AuditWriter, Entry
from runtime.errors import NotReadyError
from tests.unit.runtime.audit.audits import WHO, judged, written


@pytest.fixture
def folder(tmp_path: Path) -> AuditFolder:
    """None yet."""
    return AuditFolder(tmp_path / "audit")


def lines_of(folder: AuditFolder) -> list[dict[str, object]]:
    """As they are read."""
    return [json.loads(line) for _, line in folder.lines()]


class Disk:
    """One that may be full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        self.batches: list[int] = []
        write = AuditWriter.write

        def guarded(writer: AuditWriter, entries: Sequence[Entry], at: float) -> None:
            self.batches.append(len(entries))
            if self.is_full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(writer, entries, at)

        monkeypatch.setattr(AuditWriter, "write", guarded)
        monkeypatch.setattr(module, "RETRY_S", 0.01)


async def test_lines_come_in_the_order_they_were_asked_for(folder: AuditFolder):
    """Whether anybody waits for them or not."""
    log = AuditLog.open(folder, WHO)
    for number in range(50):
        if number % 3:
            log.note("decision", who="run:1", data={"n": number})
        else:
            await log.add("api.call", who="uid:0", data={"n": number})
    await log.close()
    numbers = [line["data"]["n"] for line in lines_of(folder) if "n" in line["data"]]  # type: ignore[index,operator]
    assert numbers == list(range(50))
    assert judged(folder).is_whole


async def test_what_waits_goes_to_the_disk_together(folder: AuditFolder, monkeypatch: pytest.MonkeyPatch):
    """Or a hundred callers would wait for a hundred flushes."""
    disk = Disk(monkeypatch)
    log = AuditLog.open(folder, WHO)
    await asyncio.gather(*(log.add("api.call", who="uid:0", data={"n": n}) for n in range(100)))
    await log.close()
    assert len([size for size in disk.batches if size]) <= 3
    assert judged(folder).lines == 101


async def test_who_waits_is_told_of_a_full_disk_and_notes_are_kept(
    folder: AuditFolder, monkeypatch: pytest.MonkeyPatch
):
    """Later they are written, in their order, before what comes behind them."""
    disk = Disk(monkeypatch)
    log = AuditLog.open(folder, WHO)
    disk.is_full = True
    log.note("decision", who="run:1", data={"n": 1})
    with pytest.raises(NotReadyError, match="No space left") as told:
        await log.add("api.call", who="uid:0", data={"n": 2})
    assert "make room" in str(told.value.hint)
    assert log.is_failing
    disk.is_full = False
    await log.add("api.call", who="uid:0", data={"n": 3})
    assert not log.is_failing
    await log.close()
    assert [line["data"]["n"] for line in lines_of(folder)[:-1]] == [1, 3]  # type: ignore[index]
    assert judged(folder).is_whole


async def test_a_head_that_cannot_be_written_is_told_once(
    folder: AuditFolder, monkeypatch: pytest.MonkeyPatch
):
    """No line is refused for it, and none is written twice."""
    log = AuditLog.open(folder, WHO)

    def full(*_args: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with structlog.testing.capture_logs() as told:
        for number in range(3):
            log.note("decision", who="run:1", data={"n": number})
            await log.add("api.call", who="uid:0", data={"n": number})
    monkeypatch.undo()
    await log.close()
    assert [line["event"] for line in told] == ["audit-head-not-written"]
    assert [line["kind"] for line in lines_of(folder)] == ["decision", "api.call"] * 3 + ["audit.checkpoint"]
    assert judged(folder).is_whole


async def test_an_audit_that_is_taken_away_is_told(folder: AuditFolder):
    """No room on the disk would help."""
    log = await written(folder, 1, close=False)
    folder.head.unlink()
    with pytest.raises(NotReadyError, match="removed or replaced") as told:
        await log.add("api.call", who="uid:0", data={})
    assert "start the daemon again" in str(told.value.hint)
    await log.close()


async def test_what_does_not_fit_into_memory_is_counted(folder: AuditFolder, monkeypatch: pytest.MonkeyPatch):
    """A disk that stays full for long loses lines, and the audit says how many."""
    disk = Disk(monkeypatch)
    monkeypatch.setattr(module, "MAX_KEPT", 5)
    log = AuditLog.open(folder, WHO)
    disk.is_full = True
    for number in range(8):
        log.note("decision", who="run:1", data={"n": number})
    disk.is_full = False
    await log.add("api.call", who="uid:0", data={})
    await log.close()
    lost = [line["data"] for line in lines_of(folder) if line["kind"] == "audit.lost"]
    assert lost == [{"lines": 3}]


async def test_what_is_noted_last_is_written_at_the_end(folder: AuditFolder):
    """Closing waits for it."""
    log = AuditLog.open(folder, WHO)
    log.note("decision", who="run:1", data={"n": 1})
    await log.close()
    assert [line["kind"] for line in lines_of(folder)] == ["decision", "audit.checkpoint"]


async def test_who_has_counted_is_asked_before_the_end(folder: AuditFolder):
    """What it notes then is written."""
    log = AuditLog.open(folder, WHO)
    log.at_close(lambda: log.note("api.refused", who="unknown", data={"suppressed": 3}))
    await log.close()
    assert [line["kind"] for line in lines_of(folder)] == ["api.refused", "audit.checkpoint"]


async def test_a_disk_that_stays_full_keeps_nobody_from_stopping(
    folder: AuditFolder, monkeypatch: pytest.MonkeyPatch
):
    """The daemon ends all the same."""
    disk = Disk(monkeypatch)
    log = AuditLog.open(folder, WHO)
    disk.is_full = True
    log.note("decision", who="run:1", data={})
    with pytest.raises(NotReadyError):
        await log.add("api.call", who="uid:0", data={})
    await asyncio.wait_for(log.close(), 20)


async def test_a_caller_who_gave_up_is_no_hindrance(folder: AuditFolder):
    """The line is written all the same."""
    log = AuditLog.open(folder, WHO)
    asked = asyncio.create_task(log.add("api.call", who="uid:0", data={}))
    await asyncio.sleep(0)
    asked.cancel()
    await log.add("api.call", who="uid:0", data={})
    await log.close()
    assert judged(folder).lines == 3


@pytest.mark.parametrize("spoil", ["a file in its place", "no key", "another kind of key"])
async def test_an_audit_that_cannot_be_kept_is_told(folder: AuditFolder, spoil: str):
    """Named with its folder and a remedy."""
    if spoil == "a file in its place":
        folder.path.write_text("")
    else:
        folder.path.mkdir()
        other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        folder.key.write_bytes(b"x" if spoil == "no key" else other)
    with pytest.raises(NotReadyError, match=str(folder.path)) as told:
        AuditLog.open(folder, WHO)
    assert told.value.hint


async def test_old_files_are_pruned_and_that_is_on_record(
    folder: AuditFolder, monkeypatch: pytest.MonkeyPatch
):
    """The chain begins later, which a line behind vouches for."""
    monkeypatch.setattr("runtime.audit.writer.MAX_FILE_BYTES", 2000)
    log = await written(folder, 30, close=False)
    old = folder.files()[:-1]
    assert await log.prune(1, is_dry=False) == 0
    assert await log.prune(2000, is_dry=True) > 0
    assert all(path.exists() for path in old)
    lines = await log.prune(2000, is_dry=False)
    await log.close()
    assert not any(path.exists() for path in old)
    assert lines > 0
    assert judged(folder).is_whole
