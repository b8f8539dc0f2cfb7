"""`POST /v1/runs`: start a run, once for each key."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from runtime.access.caller import caller_of
from runtime.access.scopes import Scope
from runtime.api.gate import needs
from runtime.api.idempotency import PARAMETER, Asked, Note, once
from runtime.api.multipart import BODY_SCHEMA, bytes_of, read_parts
from runtime.api.recorded import record
from runtime.api.run_body import read_create_run, to_run_request
from runtime.api.run_json import run_to_json
from runtime.api.secrets import entered
from runtime.idempotency.service import Answer, Retries
from runtime.model.json_text import write_object
from runtime.model.run import DEFAULT_WORKSPACE, Run
from runtime.runs.ports import RunServicePort
from runtime.vault.service import Vault

SCHEMA: dict[str, Any] = {**BODY_SCHEMA, "parameters": [PARAMETER]}


def add_run_create(
    app: FastAPI, service: RunServicePort, vault: Vault | None, retries: Retries | None
) -> None:
    """Add the route; the vault knows the workspaces."""

    @app.post("/v1/runs", dependencies=[needs(Scope.RUNS_WRITE)], status_code=201, openapi_extra=SCHEMA)
    async def create_run(request: Request) -> Response:
        """Start a run of an agent.

        The body is multipart: a `request` part (JSON), a `bundle` part (a tar of the agent's files) and any
        number of `upload` parts. The answer comes as soon as the run is accepted; follow it by its events.
        With an `Idempotency-Key` it can be sent again without starting another run.
        """
        parts = await read_parts(request)
        body = read_create_run(parts.request)
        workspace = await _workspace(request, vault, body.workspace)

        async def make(note: Note) -> Answer:
            asked = to_run_request(body, parts.bundle, parts.uploads, workspace=workspace)
            also = None if note is None else lambda connection, run: note(connection, _created(run))
            run = await service.create(asked, also)
            record(request, run=run.id)
            return _created(run)

        return await once(request, retries, Asked(workspace, "POST /v1/runs", bytes_of(parts)), make)


async def _workspace(request: Request, vault: Vault | None, ref: str | None) -> str:
    """Whose a new run is. Raises NotFoundError for a workspace that the caller does not see."""
    if ref is None:
        return caller_of(request).workspace or DEFAULT_WORKSPACE
    if vault is not None:
        return await entered(request, vault, ref)
    caller_of(request).enter(ref)
    return ref


def _created(run: Run) -> Answer:
    """What is answered to whoever starts a run, and kept for whoever asks again; it holds no secret."""
    return Answer(201, write_object(run_to_json(run)).decode("ascii"), f"/v1/runs/{run.id}")
