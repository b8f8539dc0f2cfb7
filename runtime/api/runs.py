"""`/v1/runs/{run_id}`: read and cancel a run; the other routes below `/v1/runs` have their own modules."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import FastAPI, Query, Request
from starlette.responses import JSONResponse, Response

from runtime.access.scopes import Scope
from runtime.api.gate import needs
from runtime.api.run_create import add_run_create
from runtime.api.run_events import add_run_events
from runtime.api.run_json import run_to_json
from runtime.api.run_list import add_run_list
from runtime.api.seen import seen
from runtime.api.waits import Waits
from runtime.ascii_json import AsciiJson
from runtime.idempotency.service import Retries
from runtime.model.json_text import write_object
from runtime.model.run import Run
from runtime.runs.ports import RunServicePort
from runtime.vault.service import Vault

MAX_WAIT_S = 300.0


def add_run_routes(
    app: FastAPI, service: RunServicePort, vault: Vault | None, waits: Waits, retries: Retries | None
) -> None:
    """Add every route below `/v1/runs`; the vault knows the workspaces."""
    add_run_create(app, service, vault, retries)
    add_run_list(app, service)
    _add_run_route(app, service, waits)
    add_run_events(app, service)
    _add_record_routes(app, service)


def _add_run_route(app: FastAPI, service: RunServicePort, waits: Waits) -> None:
    @app.get("/v1/runs/{run_id}", dependencies=[needs(Scope.RUNS_READ)])
    async def get_run(
        run_id: str,
        request: Request,
        wait: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0.0,
        until: Literal["final"] = "final",
    ) -> Response:
        """Get one run: its state, times, labels, result or error, and the end of its output.

        With `wait` the answer comes when the run has ended, or after so many seconds, or when the daemon
        stops: with the state that the run is in by then, and always with 200.
        """
        del until  # the one thing that there is to wait for
        run = await seen(request, service, run_id)
        if wait and not run.state.is_final:
            ended = service.ended(run.id)
            if not await waits.wait(ended, request.receive, limit_s=wait):
                return Response()  # to nobody: the record may be large
        return _answer(await service.get(run.id))


def _add_record_routes(app: FastAPI, service: RunServicePort) -> None:
    @app.post("/v1/runs/{run_id}/cancel", dependencies=[needs(Scope.RUNS_WRITE)])
    async def cancel_run(run_id: str, request: Request) -> Response:
        """Cancel a run that has not ended.

        The answer comes once its sandbox is removed; a run that has ended already is a conflict (409).
        """
        run = await seen(request, service, run_id)
        return _answer(await service.cancel(run.id))

    @app.get("/v1/runs/{run_id}/decisions", dependencies=[needs(Scope.RUNS_READ)])
    async def run_decisions(run_id: str, request: Request) -> JSONResponse:
        """List what the egress proxy allowed and refused for this run, in order."""
        run = await seen(request, service, run_id)
        return AsciiJson({"decisions": await service.decisions(run.id)})


def _answer(run: Run) -> Response:
    """A run whole: its result goes out as it was stored."""
    return Response(write_object(run_to_json(run)), media_type="application/json")
