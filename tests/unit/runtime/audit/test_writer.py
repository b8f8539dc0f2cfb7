"""runtime.audit.writer: batches that are whole or not there, restarts, rotations, power cuts, pruning."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from runtime.audit import writer as module
from runtime.audit.chain import MAX_LINE_BYTES, seal
from runtime.audit.files import AuditFolder
from runtime.audit.writer import AuditWriter, Entry
from tests.unit.runtime.audit.audits import WHO, judged


@pytest.fixture
def folder(tmp_path: Path) -> AuditFolder:
    """None yet."""
    return AuditFolder(tmp_path / "audit")


def write(folder: AuditFolder, *numbers: int, close: bool = True) -> AuditWriter:
    """A line for each, in batches of their own."""
    writer = AuditWriter.open(folder, WHO, at=1.0)
    for number in numbers:
        writer.write([Entry(1.5, "api.call", "uid:0", {"n": number})], 1.5)
    if close:
        writer.close(2.0)
    return writer


def kinds(folder: AuditFolder) -> list[str]:
    """What the lines are."""
    return [json.loads(line)["kind"] for _, line in folder.lines()]


def test_the_files_are_their_owners(folder: AuditFolder):
    """The public key is for everybody who is let into the folder."""
    write(folder, 1)
    assert folder.path.stat().st_mode & 0o777 == 0o700
    for path in (folder.key, folder.head, *folder.files()):
        assert path.stat().st_mode & 0o777 == 0o600


def test_it_goes_on_after_a_restart(folder: AuditFolder):
    """Also after one that nobody closed; a start writes nothing."""
    write(folder, 1, 2, 3, close=False)
    write(folder, 4, 5)
    before = folder.file(1).read_bytes()
    writer = write(folder)
    assert folder.file(1).read_bytes() == before
    assert (writer.head.seq, judged(folder).broken) == (6, [])


def test_files_are_rotated_and_signed(folder: AuditFolder, monkeypatch: pytest.MonkeyPatch):
    """The chain goes on from one to the next; each ends with a checkpoint. A restart goes on in the last one."""
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 2000)
    write(folder, *range(25), close=False)
    write(folder, *range(25))
    assert len(folder.files()) > 3
    assert judged(folder).is_whole
    for path in folder.files()[:-1]:
        assert b'"audit.checkpoint"' in path.read_bytes().splitlines()[-1]


def test_a_restart_right_behind_a_rotation_goes_on(folder: AuditFolder, monkeypatch: pytest.MonkeyPatch):
    """The last file has no line yet."""
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 10)
    write(folder, 1, close=False)
    assert folder.files()[-1].stat().st_size == 0
    write(folder, 2)
    assert judged(folder).is_whole


def test_checkpoints_come_by_themselves(folder: AuditFolder, monkeypatch: pytest.MonkeyPatch):
    """After so many lines."""
    monkeypatch.setattr(module, "CHECKPOINT_LINES", 10)
    write(folder, *range(35), close=False)
    assert judged(folder).checkpoints == 3


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_half_a_line_of_a_power_cut_is_taken_off_and_told(folder: AuditFolder, cut: int):
    """Nobody had been answered: the chain is whole without it, and says how much it was."""
    write(folder, 1, 2, close=False)
    whole = folder.file(1).read_bytes()
    head = folder.head.read_bytes()
    write(folder, 3, close=False)
    folder.file(1).write_bytes(folder.file(1).read_bytes()[:-cut])
    folder.head.write_bytes(head)
    write(folder, 4)
    assert folder.file(1).read_bytes().startswith(whole + b'{"seq":3,"at":1.0,"kind":"audit.torn"')
    assert judged(folder).is_whole


@pytest.mark.parametrize("torn", [b"ab\rcd", bytes(1 << 20)], ids=["CR", "zeros"])
def test_a_torn_end_of_any_form_is_taken_off(folder: AuditFolder, torn: bytes):
    """A power cut may leave anything, of any length."""
    write(folder, 1, 2, close=False)
    with folder.file(1).open("ab") as file:
        file.write(torn)
    write(folder, 3)
    assert f'"kind":"audit.torn","who":"daemon","data":{{"bytes":{len(torn)}}}' in folder.file(1).read_text()
    assert judged(folder).is_whole


def test_what_hangs_at_an_older_file_stays_there(folder: AuditFolder, monkeypatch: pytest.MonkeyPatch):
    """No power cut leaves it there, as a file is on the disk before the next one begins."""
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 10)
    write(folder, 1, close=False)
    with folder.file(1).open("ab") as file:
        file.write(b"junk")
    write(folder, 2)
    assert [found.place for found in judged(folder).broken] == ["000001.jsonl:3"]


def test_a_line_that_had_been_answered_for_and_is_gone_is_told(folder: AuditFolder):
    """The head knew of it, and the daemon's next start writes that down for good."""
    write(folder, 1, 2, 3, close=False)
    lines = folder.file(1).read_bytes().splitlines(keepends=True)
    folder.file(1).write_bytes(b"".join(lines[:2]))
    write(folder, 4)
    assert "audit.missing" in kinds(folder)
    assert [found.place for found in judged(folder).broken] == ["000001.jsonl:3"]


def test_other_lines_in_their_place_are_told(folder: AuditFolder, tmp_path: Path):
    """With right hashes, before any checkpoint: the signed head still knew another line."""
    write(folder, 1, 2, 3, close=False)
    other = AuditFolder(tmp_path / "other")
    write(other, 1, 2, 7, 8, close=False)
    folder.file(1).write_bytes(other.file(1).read_bytes())
    assert judged(folder).broken
    write(folder, 4)
    assert judged(folder).broken


def test_a_broken_line_stays_and_stays_told(folder: AuditFolder):
    """A start behind it continues the last whole line, and takes no evidence away."""
    write(folder, 1, 2)
    with folder.file(1).open("ab") as file:
        file.write(b"not a line\n")
    write(folder, 3)
    assert b"not a line\n" in folder.file(1).read_bytes()
    assert [found.place for found in judged(folder).broken] == ["000001.jsonl:4"]


def test_half_of_a_batch_is_taken_off_again(folder: AuditFolder, monkeypatch: pytest.MonkeyPatch):
    """A full disk leaves nothing of it, and the next line continues the last whole one."""
    writer = write(folder, 1, close=False)
    before = folder.file(1).read_bytes()
    real = os.write
    monkeypatch.setattr(module.os, "write", lambda file, data: real(file, data[:10]))
    with pytest.raises(OSError, match="No space left"):
        writer.write([Entry(1.0, "api.call", "uid:0", {})], 1.0)
    assert folder.file(1).read_bytes() == before
    monkeypatch.setattr(module.os, "write", real)
    writer.write([Entry(1.0, "api.call", "uid:0", {})], 1.0)
    writer.close(1.0)
    assert judged(folder).is_whole


def test_a_disk_that_does_not_flush_takes_nothing(folder: AuditFolder, monkeypatch: pytest.MonkeyPatch):
    """What may not be there after a power cut is not said to be."""
    writer = write(folder, 1, close=False)
    head = writer.head

    def fail(_file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(module.os, "fdatasync", fail)
    with pytest.raises(OSError, match="Input/output"):
        writer.write([Entry(1.0, "api.call", "uid:0", {})], 1.0)
    assert writer.head == head
    assert judged(folder).lines == 1


def full(*_args: object) -> int:
    """A disk without room."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_head_that_cannot_be_written_comes_with_a_later_line(
    folder: AuditFolder, monkeypatch: pytest.MonkeyPatch
):
    """The lines are on the disk: were they refused, they would be written twice."""
    writer = write(folder, 1, close=False)
    head = folder.head.read_bytes()
    assert len(head) == 256
    monkeypatch.setattr(module.os, "pwrite", full)
    writer.write([Entry(1.0, "api.call", "uid:0", {"n": 2})], 1.0)
    assert (writer.is_head_behind, folder.head.read_bytes()) == (True, head)
    monkeypatch.undo()
    writer.write([], 1.0)
    assert (writer.is_head_behind, folder.head.read_bytes() == head) == (False, False)
    writer.close(1.0)
    assert kinds(folder) == ["api.call", "api.call", "audit.checkpoint"]
    assert judged(folder).is_whole


def test_a_head_has_its_room_from_the_start(folder: AuditFolder):
    """Also where somebody has emptied it."""
    for spoil in (b"", b"1:"):
        folder.path.mkdir(exist_ok=True)
        folder.head.write_bytes(spoil)
        write(folder, close=False)
        assert folder.head.stat().st_size == 256


def test_a_file_that_cannot_be_begun_refuses_no_line(folder: AuditFolder, monkeypatch: pytest.MonkeyPatch):
    """The line before it is on the disk; the present file goes on until another one can be begun."""
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 10)
    writer = write(folder, close=False)
    monkeypatch.setattr(AuditWriter, "_open_file", full)
    for number in (1, 2):
        writer.write([Entry(1.0, "api.call", "uid:0", {"n": number})], 1.0)
    assert len(folder.files()) == 1
    monkeypatch.undo()
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 10)
    writer.write([Entry(1.0, "api.call", "uid:0", {"n": 3})], 1.0)
    writer.close(1.0)
    assert kinds(folder).count("api.call") == 3
    assert [path.name for path in folder.files()] == ["000001.jsonl", "000002.jsonl"]
    assert judged(folder).is_whole


@pytest.mark.parametrize("which", ["file", "head"])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_what_is_taken_away_under_the_writer_is_noticed(folder: AuditFolder, which: str, is_replaced: bool):
    """Or lines would go, for as long as it lives, to a file that nobody sees."""
    writer = write(folder, 1, close=False)
    path = folder.head if which == "head" else folder.file(1)
    data = path.read_bytes()
    path.unlink()
    if is_replaced:
        path.write_bytes(data)
    for _ in range(2):
        with pytest.raises(OSError, match="removed or replaced"):
            writer.write([Entry(1.0, "api.call", "uid:0", {"n": 2})], 1.0)
    writer.close(1.0)
    write(folder, 3)
    assert judged(folder).is_whole is is_replaced


def test_a_checkpoint_that_could_not_be_written_is_made_again(
    folder: AuditFolder, monkeypatch: pytest.MonkeyPatch
):
    """With the next line, or at the end."""
    monkeypatch.setattr(module, "CHECKPOINT_LINES", 10)
    writer = write(folder, close=False)
    entries = [Entry(1.0, "api.call", "uid:0", {})] * 10
    monkeypatch.setattr(module.os, "fdatasync", full)
    with pytest.raises(OSError, match="No space left"):
        writer.write(entries, 1.0)
    monkeypatch.undo()
    writer.write(entries[:5], 1.0)
    writer.close(1.0)
    assert kinds(folder) == ["api.call"] * 5 + ["audit.checkpoint"]


def test_what_could_not_be_taken_off_is_taken_off_before_the_next_line(
    folder: AuditFolder, monkeypatch: pytest.MonkeyPatch
):
    """A disk that fails may refuse that, too."""
    writer = write(folder, 1, close=False)
    monkeypatch.setattr(module.os, "fdatasync", full)
    monkeypatch.setattr(module.os, "ftruncate", full)
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            writer.write([Entry(1.0, "api.call", "uid:0", {"n": 2})], 1.0)
    monkeypatch.undo()
    writer.write([Entry(1.0, "api.call", "uid:0", {"n": 3})], 1.0)
    writer.close(1.0)
    assert judged(folder).is_whole
    assert [json.loads(line)["data"].get("n") for _, line in folder.lines()] == [1, 3, None]


@pytest.mark.parametrize("data", [{"x": "y" * MAX_LINE_BYTES}, {"x": float("nan")}, {"x": object()}])
def test_what_is_no_line_is_on_record_as_such(folder: AuditFolder, data: dict[str, object]):
    """It takes no other line of its batch away."""
    writer = AuditWriter.open(folder, WHO, at=1.0)
    writer.write(
        [Entry(1.0, "a", "uid:0", {}), Entry(1.0, "b", "uid:0", data), Entry(1.0, "c", "u", {})], 1.0
    )
    writer.close(1.0)
    lines = [json.loads(line) for _, line in folder.lines()]
    assert [line["kind"] for line in lines[:3]] == ["a", "b", "c"]
    assert lines[1]["data"] == {"unwritable": True}


def test_the_last_file_and_what_follows_a_younger_one_is_never_pruned(
    folder: AuditFolder, monkeypatch: pytest.MonkeyPatch
):
    """However old it is: a chain has no holes. What the lines say counts, not what the files' dates say."""
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 300)
    writer = AuditWriter.open(folder, WHO, at=1.0)
    for at in (1000.0, 3000.0, 1000.0, 1000.0):
        writer.write([Entry(at, "api.call", "uid:0", {"x": "y" * 300})], at)
    files = folder.files()
    for path in files:
        os.utime(path, (1000, 1000))
    writer.prune(2000, 5.0, is_dry=False)
    writer.close(5.0)
    assert [path.exists() for path in files] == [False, True, True, True, True]
    assert judged(folder).is_whole


def test_a_line_without_a_time_is_never_old(folder: AuditFolder, monkeypatch: pytest.MonkeyPatch):
    """Nothing is removed that nobody can date."""
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 10)
    writer = write(folder, 1, close=False)
    line, _ = seal({"at": "x", "kind": "api.call", "who": "uid:0", "data": {}}, writer.head)
    with folder.file(1).open("ab") as file:
        file.write(line)
    assert writer.prune(2000, 5.0, is_dry=True) == 0
    writer.close(5.0)


@pytest.mark.parametrize("spoil", ["gone", "empty", "another's"])
def test_a_head_that_is_gone_is_told_by_the_next_start(folder: AuditFolder, tmp_path: Path, spoil: str):
    """Whoever has no key and takes the end away cannot make a head for what is left."""
    write(folder, 1, 2, 3)
    lines = folder.file(1).read_bytes().splitlines(keepends=True)
    folder.file(1).write_bytes(b"".join(lines[:2]))
    folder.head.unlink()
    if spoil == "empty":
        folder.head.write_bytes(b"")
    elif spoil == "another's":
        other = AuditFolder(tmp_path / "other")
        write(other, 1)
        folder.head.write_bytes(other.head.read_bytes())
    write(folder, 4)
    assert [found.place for found in judged(folder).broken] == ["000001.jsonl:3"]


@pytest.mark.parametrize("also_key", [False, True])
def test_an_audit_that_was_made_anew_is_told_while_the_key_or_a_line_is_there(
    folder: AuditFolder, tmp_path: Path, also_key: bool
):
    """Other lines with right hashes, or none at all: the key alone says that there was an audit."""
    write(folder, 1, 2, 3)
    folder.head.unlink()
    folder.file(1).unlink()
    if also_key:
        other = AuditFolder(tmp_path / "other")
        write(other, 7, close=False)
        folder.file(1).write_bytes(other.file(1).read_bytes())
        folder.key.unlink()
    write(folder, 4)
    assert judged(folder).broken


def test_a_first_start_that_ended_before_its_first_line_is_no_fault(folder: AuditFolder):
    """Its head is there before its key is."""
    write(folder, close=False)
    write(folder, 1)
    assert kinds(folder) == ["api.call", "audit.checkpoint"]
    assert judged(folder).is_whole


def test_a_checkpoint_among_the_lines_is_no_head(folder: AuditFolder):
    """Or the end could be cut at any of them, without the key."""
    write(folder, 1)
    write(folder, 2)
    lines = folder.file(1).read_bytes().splitlines(keepends=True)
    last = json.loads(lines[0])
    signature = json.loads(lines[1])["data"]["signature"]
    folder.file(1).write_bytes(lines[0])
    folder.head.write_text(f"{last['seq']}:{last['hash']}:{signature}".ljust(255) + "\n")
    with pytest.raises(ValueError, match="not signed"):
        judged(folder)
    write(folder, 3)
    assert judged(folder).broken
