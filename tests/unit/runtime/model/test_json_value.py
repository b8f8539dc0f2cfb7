"""What an agent calls JSON, made safe to keep."""

from __future__ import annotations

import json

import pytest

from runtime.model.json_value import is_json_value, parse_json, writable

DEEP = "[" * 50_000 + "]" * 50_000


@pytest.mark.parametrize("text", ["NaN", "-Infinity", '{"a": 1e999}', DEEP, "9" * 5000, "{oops"])
def test_what_is_no_json_is_refused_with_a_sentence(text: str):
    """Everything that Python reads and JSON has not is a ValueError that does not quote it."""
    with pytest.raises(ValueError, match=r".") as told:
        parse_json(text)

    assert "oops" not in str(told.value)
    assert len(str(told.value)) < 100


def test_json_is_read():
    """JSON stays what it is."""
    assert parse_json('{"a": [1, 2.5, null, "\\u00e9"]}') == {"a": [1, 2.5, None, "é"]}


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": object()}])
def test_unwritable_value_becomes_its_text(value: object):
    """A value that could not be answered with is kept as text."""
    assert not is_json_value(value)
    assert writable(value, "text") == "text"


def test_every_depth_that_reads_also_writes_or_becomes_text():
    """Whatever nesting the reader takes, `writable` gives something that json can write."""
    for depth in (100, 1000, 10_000, 100_000):
        text = "[" * depth + "]" * depth
        try:
            value = json.loads(text)
        except RecursionError:
            break
        json.dumps(writable(value, text))
