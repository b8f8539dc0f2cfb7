"""runtime.audit.verify: a thousand changes of a chain, each of them found."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from runtime.audit import writer as module
from runtime.audit.chain import Head, seal
from runtime.audit.checkpoint import read_public, read_text
from runtime.audit.files import AuditFolder
from runtime.audit.verify import verify
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


async def test_another_installations_lines_are_not_ours(folder: AuditFolder):
    """The chain begins with a name."""
    verdict = verify(folder.lines(), "another", read_public(folder.public))
    assert verdict.broken


def test_nothing_is_whole(tmp_path: Path):
    """An audit without lines, of which nobody knows any."""
    folder = AuditFolder(tmp_path)
    (tmp_path / "x").write_text("")
    assert list(folder.lines()) == []
