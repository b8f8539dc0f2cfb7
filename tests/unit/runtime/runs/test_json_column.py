"""Results in SQLite: to the byte as they were written, also those of an older daemon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from runtime.model.json_text import JsonText
from runtime.runs.json_column import RESULT

NEW = sa.Table("kept", sa.MetaData(), sa.Column("id", sa.Integer), sa.Column("result", RESULT))
OLD = sa.Table("kept", sa.MetaData(), sa.Column("id", sa.Integer), sa.Column("result", sa.JSON))
TEXTS = [
    b"1.0",
    b"1",
    b"-0.0",
    b"12345678901234567890123",
    b'"1"',
    b"0.1000000000000000055",
    b"true",
    b"[ 1,2]",
    b'""',
]


@pytest.fixture
def database() -> Iterator[sa.Connection]:
    """An empty one."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        NEW.create(connection)
        yield connection
    engine.dispose()


def read(database: sa.Connection, table: sa.Table) -> Any:
    """The one result."""
    return database.execute(sa.select(table.c.result)).scalar_one()


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_kept_as_it_is(database: sa.Connection, text: bytes):
    """A number too, which SQLite would otherwise keep as one of its own. An older daemon reads the value."""
    database.execute(NEW.insert().values(id=1, result=JsonText(text)))

    assert read(database, NEW) == JsonText(text)
    assert read(database, OLD) == json.loads(text)


@pytest.mark.parametrize("value", [1, 0.1, -7, 1e300, 2**62, "a", "1", True, {"a": ["\ud83d"]}, [], ""])
def test_what_an_older_daemon_wrote_is_read(database: sa.Connection, value: object):
    """As text, or as a number that SQLite made of it."""
    database.execute(OLD.insert().values(id=1, result=value))

    assert read(database, NEW).parse() == value


@pytest.mark.parametrize("table", [NEW, OLD], ids=["new", "old"])
def test_no_result_is_none(database: sa.Connection, table: sa.Table):
    """In both directions, whoever wrote it."""
    database.execute(table.insert().values(id=1, result=None))

    assert read(database, NEW) is None
    assert read(database, OLD) is None


@pytest.mark.parametrize("raw", ["NaN", "[1", "{\n}", 9e999])
def test_what_is_no_json_is_no_result(database: sa.Connection, raw: object):
    """An answer of the API must stay one, whatever somebody wrote into the database."""
    database.execute(sa.text("INSERT INTO kept VALUES (1, :raw)"), {"raw": raw})

    assert read(database, NEW) is None


def test_nothing_is_made_of_a_result(database: sa.Connection, monkeypatch: pytest.MonkeyPatch):
    """Neither the driver nor the mapper reads it."""

    def refuse(*_args: object, **_more: object) -> object:
        raise AssertionError("it was parsed")

    monkeypatch.setattr(json, "loads", refuse)
    monkeypatch.setattr(json, "dumps", refuse)
    database.execute(NEW.insert().values(id=1, result=JsonText(b"[[],[]]")))

    assert read(database, NEW).data == b"[[],[]]"
