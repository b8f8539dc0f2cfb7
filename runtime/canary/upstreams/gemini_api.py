"""The wire shapes of generativelanguage.googleapis.com: its own, streamed too, OpenAI's chat, and models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime.canary.upstreams.openai_api import chat_route
from runtime.canary.upstreams.sse import Event, stream
from runtime.canary.upstreams.summary import summarize, tokens, user_text
from runtime.canary.world import World

MODEL = "gemini-2.5-pro"


def routes(world: World) -> list[Route]:
    """The API's routes, under both of its versions."""

    async def models(request: Request) -> Response:
        listed = {"name": f"models/{MODEL}", "displayName": MODEL, "version": "001"}
        return _refusal(request) or JSONResponse({"models": [listed]})

    async def generate(request: Request) -> Response:
        refused = _refusal(request)
        if refused is not None:
            return refused
        model, _, verb = request.path_params["call"].partition(":")
        try:
            body = await request.json()
        except ValueError:
            body = None
        if not isinstance(body, dict) or not body.get("contents"):
            return _error(400, "INVALID_ARGUMENT", "contents is required")
        prompt = user_text(body["contents"])
        answer = summarize(prompt)
        if verb == "generateContent":
            return JSONResponse(_reply(model, answer, prompt, answer))
        if verb == "streamGenerateContent" and request.query_params.get("alt") == "sse":
            return stream(world, _events(model, prompt, answer))
        return _error(404, "NOT_FOUND", f"no method {verb} here")

    return [
        chat_route(world, "/v1beta/openai/chat/completions"),
        Route("/{version}/models", models),
        Route("/{version}/models/{call}", generate, methods=["POST"]),
    ]


def _refusal(request: Request) -> Response | None:
    if request.headers.get("x-goog-api-key") or request.query_params.get("key"):
        return None
    return _error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.")


def _error(status: int, kind: str, message: str) -> Response:
    return JSONResponse({"error": {"code": status, "message": message, "status": kind}}, status)


def _reply(model: str, text: str, prompt: str, so_far: str, *, is_last: bool = True) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if is_last:
        candidate["finishReason"] = "STOP"
    sent, made = len(tokens(prompt)), len(tokens(so_far))
    usage = {"promptTokenCount": sent, "candidatesTokenCount": made, "totalTokenCount": sent + made}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "sim1"}


def _events(model: str, prompt: str, answer: str) -> Iterator[Event]:
    pieces = tokens(answer) or [""]
    for count, piece in enumerate(pieces, start=1):
        so_far = "".join(pieces[:count])
        yield None, _reply(model, piece, prompt, so_far, is_last=count == len(pieces))
