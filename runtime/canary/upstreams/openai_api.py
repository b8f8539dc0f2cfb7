"""The wire shapes of api.openai.com: models, chat completions and responses, plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime.canary.upstreams.sse import Event, stream
from runtime.canary.upstreams.summary import summarize, tokens, user_text
from runtime.canary.world import World

MODELS = ("gpt-5.2", "gpt-5-mini")
_CREATED = 1_760_000_000


def chat_route(world: World, path: str) -> Route:
    """Chat completions at a path: other vendors serve the shape too."""

    async def chat(request: Request) -> Response:
        body = await _body(request)
        if isinstance(body, Response):
            return body
        prompt = user_text(body.get("messages"))
        answer = summarize(prompt)
        if body.get("stream"):
            return stream(world, _chat_events(body, prompt, answer))
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": answer, "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
        base = _chat_base(body, "chat.completion")
        return JSONResponse(base | {"choices": [choice], "usage": _chat_usage(prompt, answer)})

    return Route(path, chat, methods=["POST"])


def routes(world: World) -> list[Route]:
    """The routes of the simulated OpenAI API."""

    async def models(request: Request) -> Response:
        listed = [{"id": m, "object": "model", "created": _CREATED, "owned_by": "simulator"} for m in MODELS]
        return _unauthorized(request) or JSONResponse({"object": "list", "data": listed})

    async def responses(request: Request) -> Response:
        body = await _body(request)
        if isinstance(body, Response):
            return body
        prompt = user_text(body.get("input"))
        answer = summarize(prompt)
        if body.get("stream"):
            return stream(world, _numbered(_response_events(body, prompt, answer)))
        return JSONResponse(_response(body, "completed", answer, prompt))

    return [
        Route("/v1/models", models),
        chat_route(world, "/v1/chat/completions"),
        Route("/v1/responses", responses, methods=["POST"]),
    ]


def _unauthorized(request: Request) -> Response | None:
    if request.headers.get("authorization", "").startswith("Bearer "):
        return None
    return _error(401, "You didn't provide an API key.", "invalid_request_error")


def _error(status: int, message: str, kind: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": kind, "param": None, "code": None}}, status)


async def _body(request: Request) -> dict[str, Any] | Response:
    refused = _unauthorized(request)
    if refused is not None:
        return refused
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return _error(400, "the body must be a JSON object with a model", "invalid_request_error")
    return body


def _chat_base(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-sim1",
        "object": kind,
        "created": _CREATED,
        "model": body["model"],
        "service_tier": "default",
        "system_fingerprint": "fp_simulator",
    }


def _chat_usage(prompt: str, answer: str) -> dict[str, Any]:
    sent, made = len(tokens(prompt)), len(tokens(answer))
    return {"prompt_tokens": sent, "completion_tokens": made, "total_tokens": sent + made}


def _chat_events(body: dict[str, Any], prompt: str, answer: str) -> Iterator[Event]:
    base = _chat_base(body, "chat.completion.chunk")
    wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))

    def chunk(delta: dict[str, str], finish: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return None, base | {"choices": [choice]} | ({"usage": None} if wants_usage else {})

    yield chunk({"role": "assistant", "content": ""})
    for token in tokens(answer):
        yield chunk({"content": token})
    yield chunk({}, "stop")
    if wants_usage:
        yield None, base | {"choices": [], "usage": _chat_usage(prompt, answer)}
    yield None, "[DONE]"


def _response(body: dict[str, Any], status: str, answer: str | None, prompt: str = "") -> dict[str, Any]:
    done = answer is not None
    sent, made = len(tokens(prompt)), len(tokens(answer or ""))
    usage = {
        "input_tokens": sent,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": sent + made,
    }
    return {
        "id": "resp_sim1",
        "object": "response",
        "created_at": _CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": {},
        "model": body["model"],
        "output": [_message("completed", [_part(answer or "")])] if done else [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": usage if done else None,
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "msg_sim1", "type": "message", "role": "assistant", "status": status, "content": content}


def _response_events(body: dict[str, Any], prompt: str, answer: str) -> Iterator[dict[str, Any]]:
    begun = _response(body, "in_progress", None)
    item = {"item_id": "msg_sim1", "output_index": 0}
    text = item | {"content_index": 0}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    yield {"type": "response.output_item.added", "output_index": 0, "item": _message("in_progress", [])}
    yield {"type": "response.content_part.added", **text, "part": _part("")}
    for token in tokens(answer):
        yield {"type": "response.output_text.delta", **text, "delta": token, "logprobs": []}
    yield {"type": "response.output_text.done", **text, "text": answer, "logprobs": []}
    yield {"type": "response.content_part.done", **text, "part": _part(answer)}
    message = _message("completed", [_part(answer)])
    yield {"type": "response.output_item.done", "output_index": 0, "item": message}
    yield {"type": "response.completed", "response": _response(body, "completed", answer, prompt)}


def _numbered(events: Iterator[dict[str, Any]]) -> Iterator[Event]:
    for number, event in enumerate(events):
        yield str(event["type"]), event | {"sequence_number": number}
