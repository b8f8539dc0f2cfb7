"""The runner API: thin routes over the run service. Bound to an owner-only unix socket by the daemon."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import JSONResponse

from runtime.api import problems
from runtime.api.multipart import BODY_SCHEMA, read_parts
from runtime.api.run_body import event_to_json, read_create_run, run_to_json, run_to_summary, to_run_request
from runtime.api.secrets import add_vault_routes
from runtime.ascii_json import AsciiJson
from runtime.runs.ports import RunServicePort
from runtime.vault.service import Vault

MAX_LISTED = 200


def make_api(service: RunServicePort, *, vault: Vault | None = None, lifespan: Any = None) -> FastAPI:
    """The app. `lifespan` is what the daemon starts before and stops after serving."""
    app = FastAPI(title="Orchbox runner API", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    problems.install(app)
    _add_run_routes(app, service)
    _add_record_routes(app, service)
    _add_health_routes(app, service)
    if vault is not None:
        add_vault_routes(app, vault)
    return app


def _add_run_routes(app: FastAPI, service: RunServicePort) -> None:
    @app.post("/v1/runs", status_code=201, openapi_extra=BODY_SCHEMA)
    async def create_run(request: Request) -> JSONResponse:
        """Start a run; follow it with its events."""
        parts = await read_parts(request)
        asked = to_run_request(read_create_run(parts.request), parts.bundle, parts.uploads)
        run = await service.create(asked)
        return AsciiJson(run_to_json(run), status_code=201, headers={"Location": f"/v1/runs/{run.id}"})

    @app.get("/v1/runs")
    async def list_runs(limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 20) -> JSONResponse:
        """The newest runs first, without their output."""
        return AsciiJson({"runs": [run_to_summary(run) for run in await service.recent(limit)]})

    @app.get("/v1/runs/{run_id}")
    async def get_run(run_id: str) -> JSONResponse:
        """One run."""
        return AsciiJson(run_to_json(await service.get(run_id)))

    @app.post("/v1/runs/{run_id}/cancel")
    async def cancel_run(run_id: str) -> JSONResponse:
        """End a run; answers when it is gone."""
        return AsciiJson(run_to_json(await service.cancel(run_id)))


def _add_record_routes(app: FastAPI, service: RunServicePort) -> None:
    @app.get("/v1/runs/{run_id}/events", response_class=EventSourceResponse)
    async def run_events(run_id: str, last_event_id: Annotated[int, Header(ge=0)] = 0) -> EventSourceResponse:
        """The run's events as they come (Server-Sent Events; `Last-Event-ID` resumes)."""
        await service.get(run_id)

        async def stream() -> AsyncIterator[ServerSentEvent]:
            async for event in service.events(run_id, last_event_id):
                data = json.dumps(event_to_json(event.data, event.at))
                yield ServerSentEvent(data=data, event=event.kind, id=str(event.seq))

        return EventSourceResponse(stream())

    @app.get("/v1/runs/{run_id}/decisions")
    async def run_decisions(run_id: str) -> JSONResponse:
        """What the proxy decided for this run."""
        return AsciiJson({"decisions": await service.decisions(run_id)})


def _add_health_routes(app: FastAPI, service: RunServicePort) -> None:
    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        """The daemon answers."""
        return AsciiJson({"status": "ok"})

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """200 when agents may start; otherwise 503 with what is wrong."""
        checks = await service.checks()
        is_ready = all(check.is_ok for check in checks)
        shown = [{"name": c.name, "ok": c.is_ok, "detail": c.detail, "remedy": c.remedy} for c in checks]
        return AsciiJson({"ready": is_ready, "checks": shown}, status_code=200 if is_ready else 503)
