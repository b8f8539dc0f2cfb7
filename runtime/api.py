"""The runner API: thin routes over the run service. Bound to an owner-only unix socket by the daemon."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import FastAPI, Form, Header, Query, UploadFile
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse, ServerSentEvent

from runtime import problems
from runtime.errors import InvalidInputError
from runtime.ports import RunServicePort
from runtime.wire import read_create_run, run_to_json, to_run_request

MAX_UPLOAD_BYTES = 64 << 20
"""Of a run's bundle and uploads together."""


def make_api(service: RunServicePort, *, lifespan: Any = None) -> FastAPI:
    """The app. `lifespan` is what the daemon starts before and stops after serving."""
    app = FastAPI(title="Orchbox runner API", version="1", lifespan=lifespan)
    problems.install(app)
    _add_run_routes(app, service)
    _add_health_routes(app, service)
    return app


def _add_run_routes(app: FastAPI, service: RunServicePort) -> None:
    @app.post("/v1/runs", status_code=201)
    async def create_run(
        request: Annotated[str, Form()],
        bundle: UploadFile | None = None,
        upload: list[UploadFile] | None = None,
    ) -> dict[str, object]:
        """Start a run; follow it with its events."""
        body = read_create_run(request)
        files = {file.filename or "file": await file.read() for file in upload or []}
        packed = await bundle.read() if bundle else b""
        if len(packed) + sum(map(len, files.values())) > MAX_UPLOAD_BYTES:
            raise InvalidInputError("bundle and uploads are more than 64 MiB", hint="send less")
        return run_to_json(await service.create(to_run_request(body, packed, files)))

    @app.get("/v1/runs")
    async def list_runs(limit: Annotated[int, Query(ge=1, le=200)] = 20) -> dict[str, object]:
        """The newest runs first."""
        return {"runs": [run_to_json(run) for run in await service.recent(limit)]}

    @app.get("/v1/runs/{run_id}")
    async def get_run(run_id: str) -> dict[str, object]:
        """One run."""
        return run_to_json(await service.get(run_id))

    @app.post("/v1/runs/{run_id}/cancel")
    async def cancel_run(run_id: str) -> dict[str, object]:
        """End a run; answers when it is gone."""
        return run_to_json(await service.cancel(run_id))

    @app.get("/v1/runs/{run_id}/events")
    async def run_events(run_id: str, last_event_id: Annotated[int, Header(ge=0)] = 0) -> EventSourceResponse:
        """The run's events as they come (Server-Sent Events; `Last-Event-ID` resumes)."""
        await service.get(run_id)

        async def stream() -> AsyncIterator[ServerSentEvent]:
            async for event in service.events(run_id, last_event_id):
                data = json.dumps({**event.data, "at": event.at})
                yield ServerSentEvent(data=data, event=event.kind, id=str(event.seq))

        return EventSourceResponse(stream())

    @app.get("/v1/runs/{run_id}/decisions")
    async def run_decisions(run_id: str) -> dict[str, object]:
        """What the proxy decided for this run."""
        return {"decisions": await service.decisions(run_id)}


def _add_health_routes(app: FastAPI, service: RunServicePort) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The daemon answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """200 when agents may start; otherwise 503 with what is wrong."""
        checks = await service.checks()
        is_ready = all(check.is_ok for check in checks)
        body = {
            "ready": is_ready,
            "checks": [
                {"name": c.name, "ok": c.is_ok, "detail": c.detail, "remedy": c.remedy} for c in checks
            ],
        }
        return JSONResponse(body, status_code=200 if is_ready else 503)
