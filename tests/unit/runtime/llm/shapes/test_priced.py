"""Options that cost more than their tokens."""

from __future__ import annotations

import json
from typing import Literal

import pytest

from runtime.llm.shapes.openai import read_request
from runtime.llm.shapes.priced import unpriced_option

SOUND = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
CHAT = {
    "nothing": ({}, None),
    "what only makes more tokens": ({"n": 3, "reasoning_effort": "high", "tools": [{"type": "function"}]}, None),
    "hints": ({"store": True, "metadata": {"a": "b"}, "verbosity": "low", "service_tier": "flex"}, None),
    "null": ({"web_search_options": None, "service_tier": None}, None),
    "a dearer tier": ({"service_tier": "priority"}, "service_tier 'priority'"),
    "a tier that is no text": ({"service_tier": ["default"]}, "service_tier ['default']"),
    "a search": ({"web_search_options": {}}, "web_search_options"),
    "sound as output": ({"modalities": ["audio"]}, "modalities"),
    "sound as input": ({"messages": [{"role": "user", "content": [SOUND]}]}, "audio"),
    "an option that nobody knows": ({"extra-body": {}}, "an option"),
    "a tool of the provider's": ({"tools": [{"type": "function"}, {"type": "web_search"}]}, "the tool 'web_search'"),
}  # fmt: skip
RESPONSES = {
    "nothing": ({}, None),
    "a dearer tier": ({"service_tier": "priority"}, "service_tier 'priority'"),
    "a tool of the provider's": ({"tools": [{"type": "code_interpreter"}]}, "the tool 'code_interpreter'"),
    "a tool of an odd type": ({"tools": [{"type": ["function"]}]}, "the tool ['function']"),
    "a tool without a type": ({"tools": [{}]}, "the tool None"),
    "a stored prompt, which may bring tools": ({"prompt": {"id": "p"}}, "prompt"),
    "sound as input": ({"input": [{"role": "user", "content": [SOUND]}]}, "audio"),
    "an answer that goes on": ({"previous_response_id": "r", "reasoning": {"effort": "low"}}, None),
}
CASES = [("chat", *case) for case in CHAT.values()] + [("responses", *case) for case in RESPONSES.values()]


@pytest.mark.parametrize(("shape", "more", "option"), CASES)
def test_an_option_is_priced_or_named(shape: Literal["chat", "responses"], more: dict, option: str | None):
    """What nobody has looked at is not priced."""
    content = {"messages": [{"role": "user", "content": "x"}]} if shape == "chat" else {"input": "x"}

    request = read_request(shape, json.dumps({"model": "m", **content, **more}).encode())

    assert unpriced_option(request) == option
