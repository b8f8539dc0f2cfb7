"""runtime.audit.files: the lines of all files, and the end of one, whatever stands there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.audit.chain import MAX_LINE_BYTES, genesis, seal
from runtime.audit.files import AuditFolder, end_of


def test_files_come_by_their_number(tmp_path: Path):
    """Also beyond six digits; what is called otherwise is none of them."""
    for name in ("1000000.jsonl", "000002.jsonl", "000010.jsonl", "x.jsonl", "head", "000003.jsonl.new"):
        (tmp_path / name).write_text("{}\n")
    assert [path.name for path in AuditFolder(tmp_path).files()] == [
        "000002.jsonl",
        "000010.jsonl",
        "1000000.jsonl",
    ]
    assert AuditFolder(tmp_path / "none").files() == []


def test_a_line_without_an_end_is_no_line_at_the_end_only(tmp_path: Path):
    """Behind it in another file there is more, so that it was cut."""
    (tmp_path / "000001.jsonl").write_bytes(b"a\nb")
    (tmp_path / "000002.jsonl").write_bytes(b"c\nd")
    assert list(AuditFolder(tmp_path).lines()) == [
        ("000001.jsonl:1", b"a\n"),
        ("000001.jsonl:2", b"b"),
        ("000002.jsonl:1", b"c\n"),
    ]


def test_what_is_too_long_is_not_held(tmp_path: Path):
    """It comes in pieces, each of which is no line."""
    (tmp_path / "000001.jsonl").write_bytes(b"x" * (3 * MAX_LINE_BYTES))
    assert max(len(line) for _, line in AuditFolder(tmp_path).lines()) <= MAX_LINE_BYTES + 1


ZEROS = bytes(5 * MAX_LINE_BYTES + 7)


@pytest.mark.parametrize("torn", [b"", b"torn", b"to\rrn\r", ZEROS], ids=["none", "some", "CR", "zeros"])
@pytest.mark.parametrize("broken", [b"", b"broken\n", b"bro\rken\n"])
def test_the_end_of_a_file(tmp_path: Path, broken: bytes, torn: bytes):
    """The last whole line, and how much has no newline, whatever it is and however long."""
    line, head = seal({"at": 1.0, "kind": "x", "who": "y", "data": {}}, genesis("one"))
    (tmp_path / "a").write_bytes(line + broken + torn)
    found, torn_bytes = end_of(tmp_path / "a")
    assert found is not None
    assert (found.head, torn_bytes) == (head, len(torn))
    (tmp_path / "a").write_bytes(broken + torn)
    assert end_of(tmp_path / "a") == (None, len(torn))


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "dangling link"])
def test_what_is_no_file_is_a_line_that_is_none(tmp_path: Path, kind: str):
    """Nobody waits for a pipe's other end, and no link is followed."""
    folder = AuditFolder(tmp_path)
    (tmp_path / "000001.jsonl").write_bytes(b"a\n")
    place_something(tmp_path / "000002.jsonl", kind)
    assert list(folder.lines()) == [("000001.jsonl:1", b"a\n"), ("000002.jsonl:1", b"")]


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "dangling link"])
def test_a_head_that_is_no_file_is_told(tmp_path: Path, kind: str):
    """As what it is; and a long one is not held."""
    folder = AuditFolder(tmp_path)
    place_something(folder.head, kind)
    with pytest.raises(OSError, match=r"regular|link"):
        folder.read_head()


def test_no_more_of_a_head_is_read_than_there_can_be(tmp_path: Path):
    """Whatever somebody has put there."""
    (tmp_path / "head").write_bytes(b"\xff" * 5000)
    assert len(AuditFolder(tmp_path).read_head()) == 256


def test_a_file_that_is_pruned_before_it_is_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The list is made again, as long as nothing has been read."""
    folder = AuditFolder(tmp_path)
    for number in (2, 3):
        folder.file(number).write_bytes(b"%d\n" % number)
    lists = iter([[folder.file(1), folder.file(2)]])
    found = AuditFolder.files
    monkeypatch.setattr(AuditFolder, "files", lambda self: next(lists, None) or found(self))
    assert [line for _, line in folder.lines()] == [b"2\n", b"3\n"]


def test_a_file_that_is_pruned_behind_one_that_was_read_is_told(tmp_path: Path):
    """What comes then would seem to have a hole."""
    folder = AuditFolder(tmp_path)
    for number in (1, 2, 3):
        folder.file(number).write_bytes(b"%d\n" % number)
    lines = folder.lines()
    next(lines)
    folder.file(1).unlink()
    folder.file(2).unlink()
    with pytest.raises(FileNotFoundError):
        list(lines)


def place_something(path: Path, kind: str) -> None:
    """Of this kind."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        elsewhere = path.with_name("elsewhere")
        if kind == "link":
            elsewhere.write_bytes(b"b\n")
        path.symlink_to(elsewhere)
