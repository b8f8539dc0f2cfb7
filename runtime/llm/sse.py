"""A stream's pieces as server-sent events, each sent as it comes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runtime.llm.call import CallFailedError
from runtime.llm.shapes.errors import RouterError
from runtime.llm.shapes.failure import Failure
from runtime.llm.shapes.openai import Json, LlmRequest, is_usage_only


class EventStream(Response):
    """`text/event-stream` in the shape that was asked for; a break ends it with an error event."""

    def __init__(
        self,
        pieces: AsyncIterator[Json],
        request: LlmRequest,
        redact: Callable[[str], str],
        headers: dict[str, str],
    ) -> None:
        super().__init__(headers=headers | {"cache-control": "no-cache"}, media_type="text/event-stream")
        del self.headers["content-length"]
        self._pieces = pieces
        self._request = request
        self._redact = redact
        self._sent = 0

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it all."""
        async with aclosing(self._pieces):  # type: ignore[type-var]
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)

            async def emit(text: str) -> None:
                await send({"type": "http.response.body", "body": text.encode("ascii"), "more_body": True})

            try:
                async for piece in self._pieces:
                    if (text := self._frame(piece)) is not None:
                        self._sent += 1
                        await emit(text)
                if self._request.shape == "chat":
                    await emit("data: [DONE]\n\n")
            except CallFailedError as failed:
                await emit(self._break(failed.failure))
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _frame(self, piece: Json) -> str | None:
        if self._request.shape == "responses":
            return f"event: {piece.get('type')}\ndata: {_dump(piece)}\n\n"
        wants_usage = (self._request.body.get("stream_options") or {}).get("include_usage")
        return None if is_usage_only(piece) and not wants_usage else f"data: {_dump(piece)}\n\n"

    def _break(self, failure: Failure) -> str:
        """The last event. `error` is what OpenAI's SDKs raise on, in a stream of either shape."""
        message = "the model's answer broke off: " + (failure.text or failure.reason)
        error = RouterError(502, "stream_broken", self._redact(message)).body()
        if self._request.shape == "chat":
            return f"data: {_dump(error)}\n\n"
        flat = {"type": "error", "code": "stream_broken", "message": error["error"]["message"], "param": None}
        return f"event: error\ndata: {_dump(flat | {'sequence_number': self._sent} | error)}\n\n"


def _dump(piece: Json) -> str:
    return json.dumps(piece, separators=(",", ":"))
