"""`responses` over chat: what is carried, in both directions."""

from __future__ import annotations

import pytest

from runtime.llm.shapes import bridge
from runtime.llm.shapes.bridge_stream import to_events
from runtime.llm.shapes.failure import UnsupportedRequestError

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}


def test_a_conversation_with_tools_becomes_messages() -> None:
    """Instructions first; calls that were made at one time stand in one message."""
    chat = bridge.to_chat(
        {
            "instructions": "be kind",
            "input": [
                {"role": "developer", "content": "d"},
                {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                {"type": "reasoning", "summary": []},
                {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
                {"type": "function_call", "call_id": "2", "name": "g", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "1", "output": "x"},
            ],
            "max_output_tokens": 9,
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
            "tool_choice": {"type": "function", "name": "f"},
            "reasoning": {"effort": "low"},
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}},
            "store": False,
        }
    )

    assert [m["role"] for m in chat["messages"]] == ["system", "system", "user", "assistant", "tool"]
    assert [call["id"] for call in chat["messages"][3]["tool_calls"]] == ["1", "2"]
    assert chat["messages"][2]["content"] == "hi"
    assert (chat["max_completion_tokens"], chat["reasoning_effort"]) == (9, "low")
    assert chat["tools"][0]["function"]["name"] == chat["tool_choice"]["function"]["name"] == "f"
    assert chat["response_format"]["json_schema"]["name"] == "n"
    assert "store" not in chat


def test_an_image_is_carried() -> None:
    """Beside its text."""
    parts = [
        {"type": "input_text", "text": "t"},
        {"type": "input_image", "image_url": "data:image/png;base64,"},
    ]

    [message] = bridge.to_chat({"input": [{"role": "user", "content": parts}]})["messages"]

    assert [part["type"] for part in message["content"]] == ["text", "image_url"]


@pytest.mark.parametrize(
    "more",
    [
        {"previous_response_id": "r"},
        {"conversation": "c"},
        {"max_tool_calls": 1},
        {"tools": ["x"]},
        {"tool_choice": {"type": "web_search"}},
        {"input": [{"role": "tool", "content": "x"}]},
        {"input": [{"type": "computer_call"}]},
        {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
        {"input": [{"type": "function_call_output", "call_id": "1", "output": []}]},
        {"input": [7]},
    ],
)
def test_what_is_not_carried_is_refused(more: dict) -> None:
    """By name, with what to use."""
    with pytest.raises(UnsupportedRequestError, match="use /v1/chat/completions"):
        bridge.to_chat({"input": "x", **more})


def test_a_completion_becomes_a_response() -> None:
    """Text, calls, usage, status."""
    message = {"role": "assistant", "content": "hi", "tool_calls": [CALL]}
    completion = {"choices": [{"message": message, "finish_reason": "length"}], "usage": USAGE}

    response = bridge.to_response({"input": "x"}, completion, "m")

    assert [item["type"] for item in response["output"]] == ["message", "function_call"]
    assert response["output"][1]["call_id"] == "call_1"
    assert (response["status"], response["incomplete_details"]) == (
        "incomplete",
        {"reason": "max_output_tokens"},
    )
    assert response["usage"]["input_tokens_details"]["cached_tokens"] == 2
    assert response["usage"]["total_tokens"] == 10


async def test_chunks_become_events() -> None:
    """A call that comes in pieces is told when it is whole."""

    async def chunks():
        for delta in (
            {"role": "assistant", "content": ""},
            {"content": "a"},
            {"content": "b"},
            {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": '{"a"'}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]},
        ):
            yield {"choices": [{"delta": delta, "finish_reason": None}]}
        yield {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}
        yield {"choices": [], "usage": USAGE}

    events = [event async for event in to_events({"input": "x"}, chunks(), "m")]

    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [e["delta"] for e in events if e["type"] == "response.output_text.delta"] == ["a", "b"]
    final = events[-1]
    assert final["type"] == "response.completed"
    assert final["response"]["output"][0]["content"][0]["text"] == "ab"
    assert final["response"]["output"][1]["arguments"] == '{"a": 1}'
    assert final["response"]["usage"]["output_tokens"] == 3
