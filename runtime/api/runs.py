"""`/v1/runs`: start, list, follow and cancel runs, and read what became of them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import FastAPI, Query, Request
from starlette.responses import JSONResponse, Response

from runtime.access.caller import caller_of
from runtime.access.scopes import Scope
from runtime.api.gate import needs
from runtime.api.multipart import BODY_SCHEMA, read_parts
from runtime.api.recorded import record
from runtime.api.run_body import read_create_run, to_run_request
from runtime.api.run_events import add_run_events
from runtime.api.run_json import run_to_json
from runtime.api.run_list import add_run_list
from runtime.api.secrets import entered
from runtime.api.seen import seen
from runtime.api.waits import Waits
from runtime.ascii_json import AsciiJson
from runtime.model.json_text import write_object
from runtime.model.run import DEFAULT_WORKSPACE, Run
from runtime.runs.ports import RunServicePort
from runtime.vault.service import Vault

MAX_WAIT_S = 300.0


def add_run_routes(app: FastAPI, service: RunServicePort, vault: Vault | None, waits: Waits) -> None:
    """Add every route below `/v1/runs`; the vault knows the workspaces."""
    add_run_list(app, service)
    _add_life_routes(app, service, vault, waits)
    add_run_events(app, service)
    _add_record_routes(app, service)


async def _workspace(request: Request, vault: Vault | None, ref: str | None) -> str:
    """Whose a new run is. Raises NotFoundError for a workspace that the caller does not see."""
    if ref is None:
        return caller_of(request).workspace or DEFAULT_WORKSPACE
    if vault is not None:
        return await entered(request, vault, ref)
    caller_of(request).enter(ref)
    return ref


def _add_life_routes(app: FastAPI, service: RunServicePort, vault: Vault | None, waits: Waits) -> None:
    @app.post("/v1/runs", dependencies=[needs(Scope.RUNS_WRITE)], status_code=201, openapi_extra=BODY_SCHEMA)
    async def create_run(request: Request) -> Response:
        """Start a run of an agent.

        The body is multipart: a `request` part (JSON), a `bundle` part (a tar of the agent's files) and any
        number of `upload` parts. The answer comes as soon as the run is accepted; follow it by its events.
        """
        parts = await read_parts(request)
        body = read_create_run(parts.request)
        workspace = await _workspace(request, vault, body.workspace)
        asked = to_run_request(body, parts.bundle, parts.uploads, workspace=workspace)
        run = await service.create(asked)
        record(request, run=run.id)
        return _answer(run, status_code=201, headers={"Location": f"/v1/runs/{run.id}"})

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

    @app.post("/v1/runs/{run_id}/cancel", dependencies=[needs(Scope.RUNS_WRITE)])
    async def cancel_run(run_id: str, request: Request) -> Response:
        """Cancel a run that has not ended.

        The answer comes once its sandbox is removed; a run that has ended already is a conflict (409).
        """
        run = await seen(request, service, run_id)
        return _answer(await service.cancel(run.id))


def _add_record_routes(app: FastAPI, service: RunServicePort) -> None:
    @app.get("/v1/runs/{run_id}/decisions", dependencies=[needs(Scope.RUNS_READ)])
    async def run_decisions(run_id: str, request: Request) -> JSONResponse:
        """List what the egress proxy allowed and refused for this run, in order."""
        run = await seen(request, service, run_id)
        return AsciiJson({"decisions": await service.decisions(run.id)})


def _answer(run: Run, *, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A run whole: its result goes out as it was stored."""
    return Response(write_object(run_to_json(run)), status_code, headers, "application/json")
