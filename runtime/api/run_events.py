"""`/v1/runs/{run_id}/events`: a run's story as Server-Sent Events, which a client can go on with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import FastAPI, Header, Query, Request
from sse_starlette import EventSourceResponse
from starlette.responses import Response

from runtime.access.scopes import Scope
from runtime.api.gate import needs
from runtime.api.run_json import event_to_json
from runtime.api.seen import seen
from runtime.model.json_text import write_object
from runtime.model.run import Event
from runtime.runs.ports import RunServicePort

COMMENT_S = 15
"""A stream in which nothing happens has a comment so often: who hears nothing for longer is cut off."""
MAX_SEQ = 1 << 53
NOT_A_STREAM: dict[int | str, dict[str, object]] = {
    204: {"description": "There is nothing behind the event that was named: it was the `end`."},
    410: {"description": "The events behind the one that was named are no longer kept: get the run instead."},
}


def add_run_events(app: FastAPI, service: RunServicePort) -> None:
    """Add the route."""

    @app.get(
        "/v1/runs/{run_id}/events",
        dependencies=[needs(Scope.RUNS_READ)],
        response_class=EventSourceResponse,
        responses=NOT_A_STREAM,
    )
    async def run_events(
        run_id: str,
        request: Request,
        last_event_id: Annotated[int | None, Header(ge=0, le=MAX_SEQ)] = None,
        after: Annotated[int, Query(ge=0, le=MAX_SEQ)] = 0,
    ) -> Response:
        """Follow a run's events as Server-Sent Events: states, log lines, egress decisions, result or error.

        Events are numbered from 1. The last one is `end`, once, with the run's final state; a stream that
        ends without it was cut, and goes on behind the event that `Last-Event-ID` (or `after`, where there is
        no such header) names. A comment comes every 15 seconds.
        """
        run = await seen(request, service, run_id)
        behind = after if last_event_id is None else last_event_id
        if not await service.goes_on(run.id, behind):
            return Response(status_code=204)

        async def stream() -> AsyncIterator[bytes]:
            async for event in service.events(run.id, behind):
                yield _line(event)

        return EventSourceResponse(stream(), ping=COMMENT_S)


def _line(event: Event) -> bytes:
    """An event as Server-Sent Events have it; its data has no line break, being JSON in ASCII."""
    data = write_object(event_to_json(event.data, event.at))
    return b"id: %d\r\nevent: %s\r\ndata: %s\r\n\r\n" % (event.seq, event.kind.encode(), data)
