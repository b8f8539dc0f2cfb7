"""Server-sent events: one event a chunk, with the world's delay between tokens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable

from starlette.responses import StreamingResponse

from runtime.canary.world import World

Event = tuple[str | None, object]
"""(event name or None, data); data that is a string goes out as it is."""


def stream(world: World, events: Iterable[Event]) -> StreamingResponse:
    """An event stream of `events`, `token_delay_s` apart."""

    async def chunks() -> AsyncIterator[bytes]:
        for index, (name, data) in enumerate(events):
            if index and world.token_delay_s:
                await asyncio.sleep(world.token_delay_s)
            text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
            yield (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()

    return StreamingResponse(chunks(), media_type="text/event-stream", headers={"cache-control": "no-cache"})
