"""What a request asks for, and what an answer says it used."""

from __future__ import annotations

import json

import pytest

from runtime.llm.plan.budget import DEFAULT_OUTPUT_TOKENS, Usage
from runtime.llm.shapes.errors import RouterError
from runtime.llm.shapes.openai import has_ended, read_request, text_bytes, usage_of

COUNTS = {"prompt_tokens": 5, "completion_tokens": 2}


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        ({"usage": COUNTS}, Usage(5, 2)),
        ({"usage": COUNTS | {"total_tokens": 7}}, Usage(5, 2)),
        ({"usage": COUNTS | {"total_tokens": 17}}, Usage(5, 12)),
        ({"usage": COUNTS | {"prompt_tokens_details": {"cached_tokens": 3}}}, Usage(5, 2, 3)),
        ({"response": {"usage": {"input_tokens": 5, "output_tokens": 2}}}, Usage(5, 2)),
        ({"usage": None}, None),
        ({"usage": {"prompt_tokens": 0, "completion_tokens": 0}}, None),
        ({"usage": {"prompt_tokens": -5, "completion_tokens": True}}, None),
        ({}, None),
    ],
)
def test_the_providers_own_count(answer: dict, usage: Usage | None) -> None:
    """In both shapes; thoughts that only the total has are output."""
    assert usage == usage_of(answer)


@pytest.mark.parametrize(
    ("more", "output"),
    [
        ({}, DEFAULT_OUTPUT_TOKENS),
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 20, "max_tokens": 1}, 20),
        ({"max_tokens": 10, "n": 7}, 70),
        ({"n": 100}, 100 * DEFAULT_OUTPUT_TOKENS),
        ({"n": 1}, DEFAULT_OUTPUT_TOKENS),
        ({"n": None, "max_tokens": None}, DEFAULT_OUTPUT_TOKENS),
    ],
)
def test_what_a_call_may_use(more: dict, output: int) -> None:
    """Its input by size, and the output it asks for, once for each answer."""
    raw = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], **more}).encode()

    request = read_request("chat", raw)

    assert request.wanted_tokens == -(-len(raw) // 3) + output


@pytest.mark.parametrize(
    ("piece", "size"),
    [
        ({"choices": [{"delta": {"role": "assistant", "content": ""}}]}, 0),
        ({"choices": [{"delta": {"content": "abc"}}]}, len('{"content": "abc"}')),
        ({"type": "response.output_text.delta", "delta": "abc"}, 3),
        ({"choices": []}, 0),
    ],
)
def test_what_a_piece_carries(piece: dict, size: int) -> None:
    """For an estimate where the provider gives no count."""
    assert size == text_bytes(piece)


@pytest.mark.parametrize("name", ["n", "max_tokens", "max_completion_tokens", "max_output_tokens"])
@pytest.mark.parametrize("count", ["100", 100.0, 1e9, 0, -1, True, [100], 1 << 31])
def test_a_count_is_a_number_in_one_way_only(name: str, count: object) -> None:
    """A provider may read a text or a fraction as a number, and the budget would have held nothing for it."""
    raw = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], name: count}).encode()

    with pytest.raises(RouterError, match="whole number") as caught:
        read_request("chat", raw)

    assert (caught.value.status, caught.value.param) == (400, name)


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        ({"choices": [], "usage": COUNTS}, True),
        ({"choices": [{"finish_reason": "stop"}], "usage": COUNTS}, True),
        ({"type": "response.completed"}, True),
        ({"choices": [{"finish_reason": None}], "usage": COUNTS}, False),
        ({"type": "response.created", "response": {"usage": COUNTS}}, False),
        ({"choices": []}, False),
    ],
)
def test_a_count_is_the_whole_calls_only_at_its_end(piece: dict, *, expected: bool) -> None:
    """Some providers count from the first piece on."""
    assert has_ended(piece) == expected
