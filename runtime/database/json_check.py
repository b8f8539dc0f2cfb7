"""Is it JSON? SQLite says so: it makes no object of it, and holds nobody else up while it looks."""

from __future__ import annotations

import contextlib
import sqlite3

from runtime.model.json_text import JsonText

_FORBIDDEN = (b"\0", b"\n", b"\r")
"""SQLite's own texts end with NUL; a line break would end an event's line."""


def checked(data: bytes) -> JsonText:
    """The text, where it is one value of JSON in ASCII on one line. Raises ValueError."""
    if not data.isascii() or any(each in data for each in _FORBIDDEN):
        raise ValueError("not one line of ASCII")
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        try:
            # Handed over as bytes: a text would be copied once more while nobody else can work.
            [is_json] = connection.execute("SELECT json_valid(CAST(? AS TEXT))", (data,)).fetchone()
        except (sqlite3.Error, OverflowError):  # larger than SQLite takes
            is_json = 0
    if not is_json:
        raise ValueError("not JSON")
    return JsonText(data)
