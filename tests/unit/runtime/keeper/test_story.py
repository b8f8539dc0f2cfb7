"""A run's story: in the journal before anywhere else, told in its order, and bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.keeper.folder import KeeperFolder
from runtime.keeper.messages import Ended, Entry, Made, Said, encode, read_said
from runtime.keeper.story import Story
from runtime.keeper.work import Done
from runtime.model.json_text import JsonText
from runtime.model.run import RunError, RunState
from runtime.sandbox.outcome import Outcome

FAILED = RunError("SANDBOX_ERROR", "no", "code_error", 1)


class Listener:
    """What a daemon was sent; and what the journal held at that moment."""

    def __init__(self, journal: Path) -> None:
        self.lines: list[bytes] = []
        self.was_written_first: list[bool] = []
        self._journal = journal

    def write(self, data: bytes) -> None:
        """As a stream's."""
        self.lines += data.splitlines(keepends=True)
        self.was_written_first.append(data in self._journal.read_bytes())

    @property
    def said(self) -> list[Said]:
        """As messages."""
        return [read_said(line) for line in self.lines]


@pytest.fixture
def folder(tmp_path: Path) -> KeeperFolder:
    """A run's, without a keeper."""
    return KeeperFolder(tmp_path)


@pytest.fixture
def broken() -> list[int]:
    """Grows when a journal cannot be written."""
    return []


@pytest.fixture
def story(folder: KeeperFolder, broken: list[int]) -> Story:
    """Nothing is told yet."""
    return Story(folder, lambda: broken.append(1))


def journal_of(folder: KeeperFolder) -> list[Any]:
    """The journal's lines."""
    return [read_said(line) for line in folder.journal.read_bytes().splitlines(keepends=True)]


def test_an_entry_is_kept_before_it_is_told(story: Story, folder: KeeperFolder):
    """A daemon that is killed right then has told nobody what the next one does not know."""
    listener = Listener(folder.journal)
    earlier = Entry(kind="state", data={"state": "queued"}, at=1.0)
    story.begin([earlier], listener)  # type: ignore[arg-type]
    story.tell("log", {"text": "a"})
    story.say(Made())
    story.leave()
    story.tell("log", {"text": "b"})

    assert [(each.kind, each.data) for each in journal_of(folder)] == [
        ("state", {"state": "queued"}),
        ("log", {"text": "a"}),
        ("log", {"text": "b"}),
    ]
    assert [each.event for each in listener.said] == ["entry", "made"]
    assert listener.was_written_first == [True, False]


def test_who_comes_later_is_told_everything(story: Story, folder: KeeperFolder):
    """What was before it once, then what comes."""
    story.tell("log", {"text": "a"})
    listener = Listener(folder.journal)
    story.replay(listener)  # type: ignore[arg-type]
    story.tell("log", {"text": "b"})

    assert listener.said == journal_of(folder)


@pytest.mark.parametrize("result", [None, {"answer": "\ud83d"}, False, 0, "", [1.5]])
def test_the_end_is_the_last_line_and_the_result_is_beside_it(
    story: Story, folder: KeeperFolder, result: object
):
    """Whatever the result's size, a line stays short; nothing is told from a result that is not there."""
    text = None if result is None else JsonText.of(result)
    story.end(Done(Outcome(RunState.FAILED, FAILED, text), "out", "err"))
    [ended] = journal_of(folder)

    assert isinstance(ended, Ended)
    assert (ended.state, ended.stdout, ended.stderr) == ("failed", "out", "err")
    assert ended.error == {
        "code": "SANDBOX_ERROR",
        "message": "no",
        "error_class": "code_error",
        "exit_code": 1,
    }
    assert ended.has_result is (result is not None)
    assert ended.result_bytes == (None if text is None else len(text.data))
    if text is not None:
        assert folder.result.read_bytes() == text.data


def test_what_is_left_out_is_told_before_the_end(story: Story, folder: KeeperFolder, monkeypatch):
    """And is in the end, for the record. That decisions begin to be left out is told at once."""
    monkeypatch.setattr("runtime.keeper.bounds.MAX_EVENTS", 2)
    for _ in range(5):
        story.tell("decision", {})
    assert [(entry.kind, entry.data) for entry in journal_of(folder)] == [
        ("decision", {}),
        ("decision", {}),
        ("omitted", {"decision": 1}),
    ]
    story.end(Done(Outcome(RunState.COMPLETED)))
    *_, omitted, ended = journal_of(folder)

    assert (omitted.kind, omitted.data) == ("omitted", {"decision": 3})
    assert ended.omitted == {"decision": 3}


def test_a_journal_that_cannot_be_written_is_told_of_once(
    story: Story, folder: KeeperFolder, broken: list[int], monkeypatch: pytest.MonkeyPatch
):
    """A full disk: the run is ended, and who listens still hears how."""

    def full(_fd: int, _data: object) -> int:
        raise OSError(28, "No space left on device")

    listener = Listener(folder.journal)
    story.begin([], listener)  # type: ignore[arg-type]
    monkeypatch.setattr("runtime.keeper.folder.os.write", full)
    story.tell("log", {"text": "a"})
    story.tell("log", {"text": "b"})
    story.end(Done(Outcome(RunState.COMPLETED, None, JsonText.of({"lost": True}))))

    assert broken == [1]
    assert [each.event for each in listener.said] == ["entry", "entry", "ended"]
    ended = listener.said[-1]
    assert isinstance(ended, Ended)
    assert (ended.state, ended.has_result, ended.result_bytes) == ("failed", False, None)
    assert "journal could not be written" in str(ended.error)


def test_the_line_of_an_entry_is_its_message(story: Story, folder: KeeperFolder):
    """So that a journal is read as a keeper is."""
    story.tell("log", {"text": "\n"})
    [entry] = journal_of(folder)
    assert folder.journal.read_bytes() == encode(entry)
