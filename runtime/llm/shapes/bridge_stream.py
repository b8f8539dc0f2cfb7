"""Chat chunks as the events of a streamed response: the text as it comes, each tool call when it is whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from runtime.llm.shapes import bridge
from runtime.llm.shapes.openai import Json


class _Assembly:
    """What has come so far."""

    def __init__(self, response: Json) -> None:
        self.response = response
        self.message: Json | None = None
        self.text = ""
        self.calls: dict[int, Json] = {}
        self.finish_reason: str | None = None
        self.usage: Json | None = None

    def take(self, chunk: Json) -> list[Json]:
        """The events that a chunk brings."""
        self.usage = chunk.get("usage") or self.usage
        events: list[Json] = []
        for choice in chunk.get("choices") or []:
            delta = choice.get("delta") or {}
            if delta.get("content"):
                events += self._text(delta["content"])
            for call in delta.get("tool_calls") or []:
                self._call(call)
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
        return events

    def _place(self) -> Json:
        return {"item_id": self.message["id"] if self.message else "", "output_index": 0, "content_index": 0}

    def _text(self, piece: str) -> list[Json]:
        events: list[Json] = []
        if self.message is None:
            self.message = bridge.message_item("", "in_progress")
            part = self.message["content"][0]
            begun = self.message | {"content": []}
            events.append({"type": "response.output_item.added", "output_index": 0, "item": begun})
            events.append({"type": "response.content_part.added", **self._place(), "part": part})
        self.text += piece
        delta = {"type": "response.output_text.delta", **self._place(), "delta": piece, "logprobs": []}
        return [*events, delta]

    def _call(self, call: Json) -> None:
        known = self.calls.setdefault(call.get("index") or 0, {"function": {"name": "", "arguments": ""}})
        known["id"] = call.get("id") or known.get("id")
        function: dict[str, Any] = call.get("function") or {}
        known["function"]["name"] += function.get("name") or ""
        known["function"]["arguments"] += function.get("arguments") or ""

    def finish(self) -> list[Json]:
        """The events that end the stream."""
        events, output = [], []
        if self.message is not None:
            done = bridge.message_item(self.text) | {"id": self.message["id"]}
            place = self._place()
            events.append({"type": "response.output_text.done", **place, "text": self.text, "logprobs": []})
            events.append({"type": "response.content_part.done", **place, "part": done["content"][0]})
            events.append({"type": "response.output_item.done", "output_index": 0, "item": done})
            output.append(done)
        for _, call in sorted(self.calls.items()):
            events += _call_events(item := bridge.call_item(call), len(output))
            output.append(item)
        whole = bridge.finish(self.response, output, self.finish_reason, self.usage)
        return [*events, {"type": f"response.{whole['status']}", "response": whole}]


def _call_events(item: Json, index: int) -> list[Json]:
    place = {"item_id": item["id"], "output_index": index}
    begun = item | {"arguments": "", "status": "in_progress"}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": begun},
        {"type": "response.function_call_arguments.delta", **place, "delta": item["arguments"]},
        {
            "type": "response.function_call_arguments.done",
            **place,
            "name": item["name"],
            "arguments": item["arguments"],
        },
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


async def to_events(body: Json, chunks: AsyncIterator[Json], model: str) -> AsyncIterator[Json]:
    """The whole stream; nothing is yielded before the first chunk is there."""
    assembly = _Assembly(bridge.new_response(body, model))
    number = 0
    async with aclosing(chunks):  # type: ignore[type-var]
        async for chunk in chunks:
            events = assembly.take(chunk)
            if number == 0:
                begun = {"response": assembly.response}
                head = ({"type": f"response.{what}", **begun} for what in ("created", "in_progress"))
                events = [*head, *events]
            for event in events:
                yield event | {"sequence_number": number}
                number += 1
    for event in assembly.finish():
        yield event | {"sequence_number": number}
        number += 1
