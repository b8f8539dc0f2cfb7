"""`GET /v1/runs`: a page of the list of runs, by filters and a cursor."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request
from starlette.responses import JSONResponse

from runtime.access.caller import caller_of
from runtime.access.scopes import Scope
from runtime.api.gate import needs
from runtime.api.query import query_labels
from runtime.api.run_json import run_to_summary
from runtime.ascii_json import AsciiJson
from runtime.errors import InvalidInputError
from runtime.model.run import RunState
from runtime.model.run_query import MAX_LISTED, RunFilter, RunQuery, is_id_prefix
from runtime.runs.ports import RunServicePort

MAX_CURSOR_CHARS = 200
LABEL_SCHEMA = {
    "parameters": [
        {
            "name": "label.KEY",
            "in": "query",
            "required": False,
            "schema": {"type": "string"},
            "description": "Only runs whose label KEY has this value; for as many labels as you like.",
        }
    ]
}
"""What FastAPI cannot tell: a parameter's name is a part of the filter."""
_Text = Annotated[str | None, Query(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


def add_run_list(app: FastAPI, service: RunServicePort) -> None:
    """Add the route."""

    @app.get("/v1/runs", dependencies=[needs(Scope.RUNS_READ)], openapi_extra=LABEL_SCHEMA)
    async def list_runs(  # noqa: PLR0913, PLR0917 - each is a parameter of the query
        request: Request,
        labels: Annotated[dict[str, str], Depends(query_labels)],
        limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 20,
        cursor: Annotated[str | None, Query(max_length=MAX_CURSOR_CHARS)] = None,
        state: RunState | None = None,
        agent: _Text = None,
        policy: _Text = None,
        created_after: float | None = None,
        id_prefix: str | None = None,
    ) -> JSONResponse:
        """List the runs that the caller sees, the newest first, without what the agents wrote.

        The answer is `{items, next_cursor}`; `next_cursor` is null where the list ends, and otherwise goes
        into `cursor` for the next page, with the same filters. Runs that are added meanwhile change nothing
        behind a cursor. `created_after` is in epoch seconds, `id_prefix` the first digits of an id. A filter
        that matches nothing gives an empty list.
        """
        if created_after is not None and not math.isfinite(created_after):
            raise InvalidInputError("created_after: expected epoch seconds", param="created_after")
        if id_prefix is not None and not is_id_prefix(id_prefix):
            raise InvalidInputError(
                "id_prefix: no beginning of an id", hint="1 to 36 of 0-9, a-f and -", param="id_prefix"
            )
        which = RunFilter(
            workspace=caller_of(request).workspace,
            state=state,
            agent=agent,
            policy=policy,
            labels=labels,
            created_after=created_after,
            id_prefix=id_prefix,
        )
        page = await service.page(RunQuery.read(limit, which, cursor))
        shown = [run_to_summary(run) for run in page.items]
        return AsciiJson({"items": shown, "next_cursor": page.next_cursor})
