"""runtime.audit.verify: a thousand changes of a chain, each of them found."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from runtime.audit import writer as module
from runtime.audit.chain import Head, seal
from runtime.audit.checkpoint import read_public, read_text
from runtime.audit.files import AuditFolder
from runtime.audit.verify import MAX_FAULTS, verify
from runtime.audit.writer import AuditWriter
from tests.unit.runtime.audit.audits import WHO, judged, written


@pytest.fixture
async def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AuditFolder:
    """An audit of some files."""
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 4000)
    folder = AuditFolder(tmp_path / "audit")
    await written(folder, 60)
    assert len(folder.files()) > 3
    return folder


async def test_a_thousand_changes_are_found(folder: AuditFolder):
    """Edits, cuts and moves of lines, over files, the end among them: each is found and named."""
    originals = {path: path.read_bytes() for path in folder.files()}
    chance = random.Random(11)
    for number in range(1000):
        path = chance.choice([path for path in originals if originals[path]])
        lines = originals[path].splitlines(keepends=True)
        at = chance.randrange(len(lines))
        match number % 4:
            case 0:
                line = bytearray(lines[at])
                line[chance.randrange(len(line))] ^= 1 << chance.randrange(8)
                spoilt = [*lines[:at], bytes(line), *lines[at + 1 :]]
            case 1:
                spoilt = lines[:at] + lines[at + chance.randrange(1, 4) :]
            case 2:
                other = (at + chance.randrange(1, len(lines))) % len(lines) if len(lines) > 1 else at
                spoilt = [line for index, line in enumerate(lines) if index != at]
                spoilt.insert(other, lines[at] if len(lines) > 1 else b"")
            case _:
                spoilt = [*lines[:at], lines[at][: chance.randrange(len(lines[at]))]]
        path.write_bytes(b"".join(spoilt))
        broken = judged(folder).broken
        assert broken, (number, path.name, at)
        assert all(".jsonl:" in found.place for found in broken)
        path.write_bytes(originals[path])
    assert judged(folder).is_whole


async def test_the_line_is_named(folder: AuditFolder):
    """By file and number, and once."""
    path = folder.files()[1]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], lines[3].replace(b"uid:0", b"uid:1"), *lines[4:]]))
    assert [(found.place, found.what) for found in judged(folder).broken] == [
        (f"{path.name}:4", "the line was changed")
    ]


@pytest.mark.parametrize("which", [0, 1, -1])
async def test_a_whole_file_that_is_gone_is_missed(folder: AuditFolder, which: int):
    """The first, one in between, and the last, which only the head tells."""
    folder.files()[which].unlink()
    assert judged(folder).broken


async def test_a_line_that_says_that_others_were_pruned_must_be_the_daemons(folder: AuditFolder):
    """One that somebody adds is in no chain."""
    files = folder.files()
    lines = files[1].read_bytes().splitlines(keepends=True)
    files[0].unlink()
    files[1].write_bytes(lines[0].replace(b"api.call", b"audit.pruned") + b"".join(lines[1:]))
    assert judged(folder).broken


async def test_a_chain_made_anew_is_signed_by_nobody(folder: AuditFolder, tmp_path: Path):
    """Whoever rewrites all of it, with right hashes, lacks the key."""
    other = AuditFolder(tmp_path / "other")
    await written(other, 60)
    key = read_public(folder.public)
    verdict = verify(other.lines(), WHO, key)
    assert {found.what for found in verdict.broken} == {"the checkpoint is not signed with this key"}
    with pytest.raises(ValueError, match="not signed"):
        read_text(other.head.read_text(), WHO, key)


async def test_a_kept_checkpoint_tells_of_an_older_copy(folder: AuditFolder, tmp_path: Path):
    """All files put back to an earlier state, head and all, are whole in themselves."""
    earlier = {path: path.read_bytes() for path in folder.path.iterdir()}
    log = await written(folder, 5)
    kept = log.head
    for path, data in earlier.items():
        path.write_bytes(data)
    assert judged(folder).is_whole
    assert [found.what for found in judged(folder, [kept]).broken] == [
        f"line {kept.seq}, which is known to have been there, is missing or another one"
    ]


async def test_a_kept_checkpoint_before_the_beginning_cannot_be_checked(folder: AuditFolder):
    """Whoever has the key begins a new chain behind it, with a line that says that all before was pruned."""
    key = read_public(folder.public)
    kept = read_text(folder.head.read_text(), WHO, key)
    start = Head(5000, "ab" * 32)
    said = {"seq": start.seq, "hash": start.hash}
    line, head = seal({"at": 1.0, "kind": "audit.pruned", "who": "daemon", "data": said}, start)
    now = [head]
    assert verify([("000001.jsonl:1", line)], WHO, key, kept=now).is_whole
    broken = verify([("000001.jsonl:1", line)], WHO, key, kept=[*now, kept]).broken
    assert [found.what for found in broken] == [
        f"line {kept.seq}, which is known to have been there, was pruned: it cannot be checked any more"
    ]


@pytest.mark.parametrize("gone", [1, 2])
async def test_a_prune_that_is_under_way_or_ended_half_way_is_no_fault(
    folder: AuditFolder, monkeypatch: pytest.MonkeyPatch, gone: int
):
    """The line that says what goes is there first; some of it may be there still."""
    files = folder.files()
    writer = AuditWriter.open(folder, WHO, at=1.5)
    real, left = Path.unlink, iter(range(gone))

    def unlink(path: Path) -> None:
        if next(left, None) is None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(path)

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(OSError, match="Input/output"):
        writer.prune(2.0, 5.0, is_dry=False)
    assert [path.exists() for path in files[:4]] == [number >= gone for number in range(4)]
    assert judged(folder).broken == []
    monkeypatch.undo()
    writer.close(5.0)
    for path in files[gone:3]:
        path.unlink()
    assert judged(folder).is_whole
    files[3].write_bytes(b"".join(files[3].read_bytes().splitlines(keepends=True)[1:]))
    assert judged(folder).broken  # what goes without such a line


async def test_a_line_vouches_for_no_lines_but_its_own(folder: AuditFolder):
    """It says where they ended: there, or where a file that is still there ends."""
    for said in (Head(5, "ab" * 32), Head(11, "ab" * 32)):
        start = Head(9, "cd" * 32)
        first, head = seal({"kind": "api.call", "data": {}}, start)
        line, _ = seal({"kind": "audit.pruned", "data": said._asdict()}, head)
        lines = [("000003.jsonl:1", first), ("000004.jsonl:1", line)]
        broken = verify(lines, WHO, read_public(folder.public)).broken
        assert [found.what for found in broken] == ["lines 1 to 9 are missing before it"]


@pytest.mark.parametrize("seq", [[], {}, "1", None, True])
async def test_a_line_about_others_may_say_anything(folder: AuditFolder, seq: object):
    """Somebody else has made it: it is a fault and no failure."""
    for kind in ("audit.pruned", "audit.missing", "audit.checkpoint"):
        line, _ = seal({"kind": kind, "data": {"seq": seq, "hash": seq}}, Head(3, "x"))
        with folder.files()[-1].open("ab") as file:
            file.write(line)
        assert judged(folder).broken


async def test_a_flood_of_faults_is_counted(folder: AuditFolder):
    """A file of line breaks is no way to take the memory of who looks."""
    with folder.files()[-1].open("ab") as file:
        file.write(b"\n" * (MAX_FAULTS + 50))
    verdict = judged(folder)
    assert (len(verdict.broken), verdict.more, verdict.is_whole) == (MAX_FAULTS, 50, False)


async def test_another_installations_lines_are_not_ours(folder: AuditFolder):
    """The chain begins with a name."""
    verdict = verify(folder.lines(), "another", read_public(folder.public))
    assert verdict.broken


def test_nothing_is_whole(tmp_path: Path):
    """An audit without lines, of which nobody knows any."""
    folder = AuditFolder(tmp_path)
    (tmp_path / "x").write_text("")
    assert list(folder.lines()) == []
