"""What is JSON, by SQLite's word."""

from __future__ import annotations

import json
import sqlite3

import pytest

from runtime.database import json_check
from runtime.database.json_check import checked
from runtime.model.json_text import JsonText

RIGHT = [None, True, 0, -1.5, 10**400, 1e300, "", '\ud83d\0\n"', [], {}, {"a": [{"b": None}, "x" * 100_000]}]


@pytest.mark.parametrize("value", RIGHT, ids=lambda value: repr(value)[:20])
def test_what_a_keeper_writes_is_taken_as_it_is(value: object):
    """Whatever value."""
    text = JsonText.of(value)

    assert checked(text.data) == text


@pytest.mark.parametrize("depth", [50, 500])
def test_a_result_may_be_as_deep_as_the_masks_can_look(depth: int):
    """`redactor.MAX_DEPTH`; beyond it a result is a text."""
    checked(b"[" * depth + b"]" * depth)
    checked(b'{"a":' * depth + b"1" + b"}" * depth)


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b" ",
            b"[1,2",
            b'{"a":1',
            b'"ab',
            b"nul",
            b"[1]x",
            b"[1][2]",
            b"[1,]",
            b"{a:1}",
            b"'a'",
            b"+1",
        ),
        *(b"NaN", b"Infinity", b"[-Infinity]", b"0x1", b"01", b"// c\n1", b"SELECT 1"),
        *(
            b'"a\tb"',
            b"[1]\n",
            b"[1,\r2]",
            b"\n[1]",
            b'["a"]\0',
            b"[1]\0,2",
            '["\u00fc"]'.encode(),
            b'["\xff"]',
        ),
    ],
)
def test_anything_else_is_refused(data: bytes):
    """A file that somebody cut or wrote by hand, and what would break the line of an event."""
    with pytest.raises(ValueError, match=r"JSON|ASCII"):
        checked(data)


def test_every_cut_of_a_document_is_noticed():
    """However short what is missing."""
    data = json.dumps({"a": [1, "two", None], "b": {"c": True}}).encode()

    for end in range(len(data)):
        with pytest.raises(ValueError, match="JSON"):
            checked(data[:end])


def test_what_sqlite_does_not_take_is_refused(monkeypatch: pytest.MonkeyPatch):
    """A text that is larger than its limit, say: never taken for right."""

    class Small(sqlite3.Connection):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)
            self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100)

    monkeypatch.setattr(json_check.sqlite3, "connect", Small)
    with pytest.raises(ValueError, match="JSON"):
        checked(JsonText.of("x" * 200).data)
