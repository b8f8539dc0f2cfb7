"""OpenAI's two request shapes: what is checked here, what any-llm takes by name, reading answers. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from runtime.llm.plan.budget import DEFAULT_OUTPUT_TOKENS, Usage, estimate_tokens
from runtime.llm.shapes.errors import RouterError

Shape = Literal["chat", "responses"]
Json = dict[str, Any]

CHAT_PARAMETERS = frozenset(
    (
        "tools",
        "tool_choice",
        "temperature",
        "top_p",
        "max_tokens",
        "response_format",
        "stop",
        "presence_penalty",
        "frequency_penalty",
        "seed",
        "user",
        "parallel_tool_calls",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "stream_options",
        "max_completion_tokens",
        "reasoning_effort",
        "prompt_cache_key",
        "service_tier",
        "n",
    )
)
"""What any-llm's `acompletion` takes by name, and no more: `api_key`, `extra_headers` and the like do not
come from a sandbox."""
RESPONSES_PARAMETERS = frozenset(
    (
        "tools",
        "tool_choice",
        "max_output_tokens",
        "temperature",
        "top_p",
        "instructions",
        "max_tool_calls",
        "parallel_tool_calls",
        "reasoning",
        "text",
        "presence_penalty",
        "frequency_penalty",
        "truncation",
        "context_management",
        "store",
        "service_tier",
        "user",
        "metadata",
        "previous_response_id",
        "include",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "conversation",
        "stream_options",
        "top_logprobs",
    )
)
NEUTRAL = frozenset(
    (
        "user",
        "store",
        "metadata",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prediction",
        "verbosity",
        "include",
    )
)
"""Hints to OpenAI that do not change what is asked: other providers are not sent them."""


_OUTPUT_BOUNDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


@dataclass(frozen=True, slots=True)
class LlmRequest:
    """One call of a sandbox, checked as far as the router needs."""

    shape: Shape
    model: str
    is_stream: bool
    body: Json
    """All but `model` and `stream`."""
    size_bytes: int

    @property
    def wanted_tokens(self) -> int:
        """What the call may use: its input, estimated, and the output it asks for, in each of its answers."""
        asked = [self.body[name] for name in _OUTPUT_BOUNDS if self.body.get(name) is not None]
        return self.input_tokens + self.answers * max(asked, default=DEFAULT_OUTPUT_TOKENS)

    @property
    def answers(self) -> int:
        """How many answers are asked for at one time (`n`); each is billed."""
        return self.body.get("n") or 1

    @property
    def input_tokens(self) -> int:
        """The tokens of the input, estimated from its size and rather too high than too low."""
        return estimate_tokens(self.size_bytes)


def read_request(shape: Shape, raw: bytes) -> LlmRequest:
    """Parse a body. Raises RouterError (400) in OpenAI's shape."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise RouterError(400, "invalid_json", "the body is not JSON") from None
    if not isinstance(body, dict):
        raise _bad("the body must be a JSON object")
    model, is_stream = body.pop("model", None), body.pop("stream", None) or False
    if not isinstance(model, str) or not model:
        raise _bad("model must be a text", "model")
    if not isinstance(is_stream, bool):
        raise _bad("stream must be true or false", "stream")
    if shape == "chat":
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
            raise _bad("messages must be a list of objects that is not empty", "messages")
    elif not isinstance(body.get("input"), str | list) or not body["input"]:
        raise _bad("input must be a text or a list that is not empty", "input")
    for name in ("n", *_OUTPUT_BOUNDS):
        _check_count(body, name)
    if body.get("background"):
        raise _bad("background responses are not served here: nothing could be fetched later", "background")
    return LlmRequest(shape, model, is_stream, body, len(raw))


def _check_count(body: Json, name: str) -> None:
    """What a budget holds depends on it, so that it is a number in one way only."""
    count = body.get(name)
    if count is not None and (type(count) is not int or not 0 < count < 1 << 31):
        raise _bad(f"{name} must be a whole number above 0", name)


def _bad(message: str, param: str | None = None) -> RouterError:
    return RouterError(400, "invalid_request", message, param=param)


def usage_of(answer: Mapping[str, Any]) -> Usage | None:
    """The provider's own count in an answer, a chunk or an event of either shape, if any."""
    holder = answer.get("response") if isinstance(answer.get("response"), dict) else answer
    usage = holder.get("usage") if isinstance(holder, Mapping) else None
    if not isinstance(usage, Mapping):
        return None
    tokens_in = _first_count(usage, "prompt_tokens", "input_tokens")
    tokens_out = _first_count(usage, "completion_tokens", "output_tokens")
    if tokens_in + tokens_out == 0:
        return None
    # Gemini leaves its thoughts out of completion_tokens, but bills them: only the total has them.
    tokens_out = max(tokens_out, _first_count(usage, "total_tokens") - tokens_in)
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    return Usage(tokens_in, tokens_out, _first_count(details, "cached_tokens"))


def _first_count(holder: Mapping[str, Any], *names: str) -> int:
    found = (holder.get(name) for name in names)
    return next((n for n in found if isinstance(n, int) and not isinstance(n, bool) and n >= 0), 0)


def text_bytes(piece: Mapping[str, Any]) -> int:
    """How much a chunk or event carries of the model's output, for an estimate."""
    if isinstance(delta := piece.get("delta"), str):
        return len(delta.encode(errors="replace"))
    size = 0
    for choice in piece.get("choices") or []:
        carried = {k: v for k, v in (choice.get("delta") or {}).items() if v and k != "role"}
        if carried:
            size += len(json.dumps(carried, ensure_ascii=False).encode(errors="replace"))
    return size


def has_ended(piece: Mapping[str, Any]) -> bool:
    """Whether a chunk or event says that the model is done, so that the usage in it is the whole call's."""
    is_done = any(choice.get("finish_reason") for choice in piece.get("choices") or [])
    return is_done or is_usage_only(piece) or piece.get("type") in _LAST_EVENTS


_LAST_EVENTS = {"response.completed", "response.failed", "response.incomplete"}


def is_usage_only(chunk: Mapping[str, Any]) -> bool:
    """A chat chunk that carries the usage that we asked for and nothing else."""
    return chunk.get("choices") == [] and chunk.get("usage") is not None
