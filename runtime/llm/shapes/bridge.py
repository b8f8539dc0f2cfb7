"""The `responses` shape for providers that only speak chat: translated to chat completions and back. Pure.

any-llm 1.40.2 has no `responses` for Anthropic and for OpenAI-compatible endpoints; for Gemini's own API it
has text only. What is carried here: text and images, roles, instructions, functions and their results,
text.format, reasoning.effort, the usual numbers. All else is refused by name, never dropped.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from runtime.llm.shapes.failure import UnsupportedRequestError
from runtime.llm.shapes.openai import NEUTRAL, Json

_SAME = ("temperature", "top_p", "parallel_tool_calls", "presence_penalty", "frequency_penalty")
_KNOWN = {*_SAME, *NEUTRAL, "input", "instructions", "max_output_tokens", "tools", "tool_choice", "text"}
_KNOWN |= {"reasoning", "truncation", "stream_options"}


def to_chat(body: Json) -> Json:
    """A `responses` body as one for chat completions. Raises UnsupportedRequestError."""
    for name in sorted(set(body) - _KNOWN):
        if body[name] is not None:
            raise _unsupported(name)
    chat: Json = {name: body[name] for name in _SAME if body.get(name) is not None}
    chat["messages"] = _messages(body)
    if (most := body.get("max_output_tokens")) is not None:
        chat["max_completion_tokens"] = most
    if body.get("tools"):
        chat["tools"] = [_tool(tool) for tool in body["tools"]]
    if (choice := body.get("tool_choice")) is not None:
        chat["tool_choice"] = _tool_choice(choice)
    if (reasoning := body.get("reasoning") or {}).get("effort") is not None:
        chat["reasoning_effort"] = reasoning["effort"]
    if (form := (body.get("text") or {}).get("format")) and form.get("type") != "text":
        chat["response_format"] = _format(form)
    return chat


def _unsupported(what: str) -> UnsupportedRequestError:
    return UnsupportedRequestError(
        f"{what} is not carried to this provider: use /v1/chat/completions, an openai/ model, "
        "or the provider's own SDK"
    )


def _messages(body: Json) -> list[Json]:
    messages: list[Json] = []
    if body.get("instructions"):
        messages.append({"role": "system", "content": body["instructions"]})
    items = body["input"]
    if isinstance(items, str):
        return [*messages, {"role": "user", "content": items}]
    for item in items:
        _add(messages, item if isinstance(item, dict) else {})
    return messages


def _add(messages: list[Json], item: Json) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        role = "system" if item.get("role") == "developer" else item.get("role")
        if role not in {"system", "user", "assistant"}:
            raise _unsupported(f"input role {role!r}"[:60])
        messages.append({"role": role, "content": _content(item.get("content"))})
    elif kind == "function_call":
        call = {"name": item.get("name"), "arguments": item.get("arguments") or "{}"}
        called = {"id": item.get("call_id"), "type": "function", "function": call}
        if messages and messages[-1]["role"] == "assistant":  # calls made at one time stand in one message
            messages[-1].setdefault("tool_calls", []).append(called)
        else:
            messages.append({"role": "assistant", "content": None, "tool_calls": [called]})
    elif kind == "function_call_output":
        output = item.get("output")
        if not isinstance(output, str):
            raise _unsupported("a function's output that is no text")
        messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": output})
    elif kind != "reasoning":  # another provider's thoughts mean nothing to this one
        raise _unsupported(f"input type {kind!r}"[:60])


def _content(content: object) -> str | list[Json]:
    if isinstance(content, str):
        return content
    parts = []
    for part in content if isinstance(content, list) else []:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in {"input_text", "output_text"}:
            parts.append({"type": "text", "text": part.get("text", "")})
        elif kind == "input_image" and isinstance(part.get("image_url"), str):
            parts.append({"type": "image_url", "image_url": {"url": part["image_url"]}})
        else:
            raise _unsupported(f"content type {kind!r}"[:60])
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _tool(tool: Any) -> Json:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        raise _unsupported("a tool that is no function")
    inner = {name: tool[name] for name in ("name", "description", "parameters", "strict") if name in tool}
    return {"type": "function", "function": inner}


def _tool_choice(choice: Any) -> Any:
    if isinstance(choice, str):
        return choice
    if isinstance(choice, dict) and choice.get("type") == "function":
        return {"type": "function", "function": {"name": choice.get("name")}}
    raise _unsupported("this tool_choice")


def _format(form: Json) -> Json:
    if form.get("type") != "json_schema":
        return {"type": form.get("type")}
    inner = {name: form[name] for name in ("name", "description", "schema", "strict") if name in form}
    return {"type": "json_schema", "json_schema": inner}


def new_response(body: Json, model: str) -> Json:
    """A response that has begun."""
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": model,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "temperature": body.get("temperature"),
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p"),
        "usage": None,
    }


def message_item(text: str, status: str = "completed") -> Json:
    """The model's text as an output item."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [part],
    }


def call_item(call: Json) -> Json:
    """A tool call as an output item."""
    function = call.get("function") or {}
    return {
        "id": f"fc_{uuid.uuid4().hex}",
        "type": "function_call",
        "status": "completed",
        "call_id": call.get("id"),
        "name": function.get("name"),
        "arguments": function.get("arguments") or "{}",
    }


def finish(response: Json, output: list[Json], finish_reason: str | None, usage: Json | None) -> Json:
    """The response with its output, status and usage."""
    is_cut = finish_reason in {"length", "content_filter"}
    why = "max_output_tokens" if finish_reason == "length" else "content_filter"
    return response | {
        "status": "incomplete" if is_cut else "completed",
        "incomplete_details": {"reason": why} if is_cut else None,
        "output": output,
        "usage": usage and to_responses_usage(usage),
    }


def to_responses_usage(usage: Json) -> Json:
    """Chat's usage under the other shape's names."""
    sent, made = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "input_tokens": sent,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": sent + made,
    }


def to_response(body: Json, completion: Json, model: str) -> Json:
    """A whole chat completion as a response."""
    choice = (completion.get("choices") or [{}])[0]
    message = choice.get("message") or {}
    output = [message_item(message["content"])] if message.get("content") else []
    output += [call_item(call) for call in message.get("tool_calls") or []]
    return finish(new_response(body, model), output, choice.get("finish_reason"), completion.get("usage"))
