"""A column of JSON that is written and read as text: no driver and no mapper makes objects of it.

What is stored is what `sa.JSON` stores, so older rows are read, and an older daemon reads these.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import UserDefinedType

from runtime.database.json_check import checked
from runtime.model.json_text import JsonText

_NULL = b"null"


class _SqliteJson(UserDefinedType[JsonText]):
    """Bytes: a column that is declared JSON has numeric affinity, which turns a text `1.0` into the number 1.

    Older daemons wrote text. It is looked at before it is believed, and what SQLite has made a number of is
    one.
    """

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """As the migrations have it."""
        return "JSON"

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[JsonText | None], bytes]:
        """What is stored."""
        del dialect
        return lambda value: _NULL if value is None else value.data

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], JsonText | None]:
        """What is read; None for what is no JSON, or null."""
        del dialect, coltype

        def read(value: Any) -> JsonText | None:
            if isinstance(value, bytes):
                return _without_null(value)
            with contextlib.suppress(ValueError):
                text = JsonText.of(value) if isinstance(value, int | float) else checked(str(value).encode())
                return _without_null(text.data)
            return None

        return read


class _PostgresqlJson(UserDefinedType[JsonText]):
    """Text, which the server casts: it refuses what is no JSON, and keeps the text as it is."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """As the migrations have it."""
        return "JSON"

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[JsonText | None], str]:
        """What is sent."""
        del dialect
        return lambda value: (_NULL if value is None else value.data).decode("ascii")

    def bind_expression(self, bindvalue: sa.BindParameter[JsonText]) -> sa.ColumnElement[Any]:
        """How it becomes JSON."""
        return sa.cast(bindvalue, sa.JSON)

    def column_expression(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """How it becomes text again."""
        return sa.type_coerce(sa.cast(column, sa.Text), self)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], JsonText | None]:
        """What is read; None where it is null."""
        del dialect, coltype
        return lambda value: None if value is None else _without_null(value.encode())


def _without_null(data: bytes) -> JsonText | None:
    return None if data == _NULL else JsonText(data)


RESULT = _SqliteJson().with_variant(_PostgresqlJson(), "postgresql")
