"""JSON that an agent wrote, made safe to store and to answer with. Pure.

Python reads more than JSON allows: `NaN`, `1e999`, and values nested deeper than it can write again. One
such result would break every later listing, so it is kept as the text that it was.
"""

from __future__ import annotations

import json


def is_json_value(value: object) -> bool:
    """Whether the value can be written as JSON."""
    try:
        json.dumps(value, allow_nan=False)
    except (RecursionError, TypeError, ValueError):
        return False
    return True


def writable(value: object, text: str) -> object:
    """The value, or its text where it cannot be written as JSON."""
    return value if is_json_value(value) else text


def parse_json(text: str) -> object:
    """Read JSON as the standard has it. Raises ValueError saying what is wrong, not what was written."""
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError as exc:
        raise ValueError(f"line {exc.lineno}, column {exc.colno}: {exc.msg}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:
        raise ValueError("a number is too long") from None
    if not is_json_value(value):
        raise ValueError("NaN, Infinity and numbers as large are no JSON")
    return value
