"""A result as the daemon takes it from the keeper's folder: as it is, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.keeper.folder import KeeperFolder
from runtime.keeper.link import done_of
from runtime.keeper.messages import Ended, read_said
from runtime.model.json_text import JsonText
from runtime.model.run import RunError, RunState
from runtime.sandbox.outcome import Outcome

LOST = Outcome(RunState.FAILED, RunError("INTERNAL_ERROR", "the run's result cannot be read"))


def ended(result_bytes: int | None) -> Ended:
    """The keeper's word that there is a result of this length."""
    values = {"state": "completed", "error": None, "stdout": "o", "stderr": "e", "omitted": {}, "at": 2.0}
    return Ended(**values, has_result=True, result_bytes=result_bytes)


@pytest.mark.parametrize("text", [b"[1.0,2]", b"12345", b'""', b'{"a":"\\ud83d"}'])
async def test_a_result_is_taken_to_the_byte(tmp_path: Path, text: bytes):
    """With all that is known of the run's end."""
    folder = KeeperFolder(tmp_path)
    folder.result.write_bytes(text)
    done = await done_of(folder, ended(len(text)))

    assert done.outcome == Outcome(RunState.COMPLETED, None, JsonText(text))
    assert (done.stdout, done.stderr, done.at) == ("o", "e", 2.0)


FILES = {
    "cut to what is JSON too": (b"123", 5),
    "cut": (b"[1,2", 6),
    "empty": (b"", 6),
    "longer than the keeper said": (b"[1,2]  ", 5),
    "of the right length and no JSON": (b"[1,2[", 5),
    "with an end of the answer in it": (b'1,"state":"failed"', 18),
    "with a line break": (b"[1,\n2]", 6),
    "in another code than ASCII": ('["\u00fc"]'.encode(), 6),
    "not there": (None, 6),
    "of an older keeper, cut": (b"[1,2", None),
}


@pytest.mark.parametrize("case", FILES)
async def test_another_file_fails_the_run(tmp_path: Path, case: str):
    """It says so, and no answer is ever made of it."""
    folder = KeeperFolder(tmp_path)
    text, size = FILES[case]
    if text is not None:
        folder.result.write_bytes(text)
    done = await done_of(folder, ended(size))

    assert done.outcome == LOST
    assert (done.stdout, done.stderr) == ("o", "e")


async def test_a_keeper_of_an_older_version_is_understood(tmp_path: Path):
    """It did not say how long its result is."""
    folder = KeeperFolder(tmp_path)
    folder.result.write_bytes(b"[1]")
    line = (
        b'{"event":"ended","state":"completed","error":null,"stdout":"","stderr":"","omitted":{},'
        b'"has_result":true,"at":2.0}\n'
    )
    told = read_said(line)

    assert isinstance(told, Ended)
    assert (await done_of(folder, told)).outcome.result == JsonText(b"[1]")
