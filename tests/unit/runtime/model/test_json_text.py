"""A JSON document as its text."""

from __future__ import annotations

import json

import pytest

from runtime.model.json_text import JsonText, write_object


@pytest.mark.parametrize(
    "value", [None, 0, -1.5, "", "\ud83d \u00fc\n\r\u2028\0", [[]], {"a": {"b": [1, True]}}]
)
def test_a_value_is_read_as_it_was_written(value: object):
    """In ASCII, on one line, without a space that JSON does not need."""
    text = JsonText.of(value)

    assert text.parse() == value
    assert text.data == json.dumps(value, separators=(",", ":")).encode("ascii")
    assert not {b"\n", b"\r"} & {text.data[i : i + 1] for i in range(len(text.data))}


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": object()}])
def test_what_is_no_json_is_refused(value: object):
    """No reader could read it."""
    with pytest.raises((ValueError, TypeError)):
        JsonText.of(value)
    with pytest.raises((ValueError, TypeError)):
        write_object({"a": value})


def test_a_text_stands_in_an_object_as_it_is():
    """To the byte, and unread: what it holds is not even looked at."""
    text = JsonText(b'{"deep": [1.0,\t12345678901234567890]}')
    written = write_object({"id": "\u00fc", "result": text, "more": [None]})

    assert written == b'{"id":"\\u00fc","result":' + text.data + b',"more":[null]}'
    assert write_object({}) == b"{}"


def test_a_text_is_not_shown_in_a_log():
    """An agent wrote it, and it may be large."""
    assert "marker" not in repr(JsonText(b'"marker"'))
