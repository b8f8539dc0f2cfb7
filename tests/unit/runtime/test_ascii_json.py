"""JSON answers that can carry whatever was written."""

from __future__ import annotations

import json

import pytest

from runtime.ascii_json import AsciiJson


def test_half_of_a_surrogate_pair_is_carried():
    """UTF-8 has no form of it, and an agent may write one."""
    body = AsciiJson({"text": "\ud83d ü"}).body

    assert body == b'{"text":"\\ud83d \\u00fc"}'
    assert json.loads(body) == {"text": "\ud83d ü"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_json_is_refused(value: float):
    """No strict reader could read such an answer."""
    with pytest.raises(ValueError, match="JSON"):
        AsciiJson({"n": value})
