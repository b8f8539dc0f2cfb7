"""The wire shapes of api.anthropic.com: messages, plain and streamed, and models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime.canary.upstreams.sse import Event, stream
from runtime.canary.upstreams.summary import summarize, tokens, user_text
from runtime.canary.world import World

MODEL = "claude-opus-4-5-20251101"


def routes(world: World) -> list[Route]:
    """The routes of the simulated Anthropic API."""

    async def models(request: Request) -> Response:
        listed = {"id": MODEL, "type": "model", "display_name": MODEL, "created_at": "2025-11-01T00:00:00Z"}
        page = {"data": [listed], "has_more": False, "first_id": MODEL, "last_id": MODEL}
        return _refusal(request) or JSONResponse(page)

    async def messages(request: Request) -> Response:
        refused = _refusal(request)
        if refused is not None:
            return refused
        try:
            body = await request.json()
        except ValueError:
            body = None
        if not isinstance(body, dict) or not {"model", "messages", "max_tokens"} <= set(body):
            return _error(400, "invalid_request_error", "model, messages and max_tokens are required")
        prompt = user_text(body["messages"])
        answer = summarize(prompt)
        if body.get("stream"):
            return stream(world, _events(body, prompt, answer))
        usage = {"input_tokens": len(tokens(prompt)), "output_tokens": len(tokens(answer))}
        content = [{"type": "text", "text": answer}]
        return JSONResponse(_message(body, content, usage) | {"stop_reason": "end_turn"})

    return [Route("/v1/models", models), Route("/v1/messages", messages, methods=["POST"])]


def _refusal(request: Request) -> Response | None:
    if not (request.headers.get("x-api-key") or request.headers.get("authorization")):
        return _error(401, "authentication_error", "x-api-key header is required")
    if "anthropic-version" not in request.headers:
        return _error(400, "invalid_request_error", "anthropic-version: header is required")
    return None


def _error(status: int, kind: str, message: str) -> Response:
    return JSONResponse({"type": "error", "error": {"type": kind, "message": message}}, status)


def _message(body: dict[str, Any], content: list[dict[str, str]], usage: dict[str, int]) -> dict[str, Any]:
    return {
        "id": "msg_sim1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def _events(body: dict[str, Any], prompt: str, answer: str) -> Iterator[Event]:
    pieces = tokens(answer)
    start = _message(body, [], {"input_tokens": len(tokens(prompt)), "output_tokens": 1})
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    yield "message_start", {"type": "message_start", "message": start}
    block = {"type": "text", "text": ""}
    yield "content_block_start", {"type": "content_block_start", "index": 0, "content_block": block}
    yield "ping", {"type": "ping"}
    for piece in pieces:
        delta = {"type": "text_delta", "text": piece}
        yield "content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}
    yield "content_block_stop", {"type": "content_block_stop", "index": 0}
    usage = {"output_tokens": len(pieces)}
    yield "message_delta", {"type": "message_delta", "delta": stop, "usage": usage}
    yield "message_stop", {"type": "message_stop"}
