"""`/healthz` and `/readyz`: whether the daemon lives, and whether it may start agents."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import JSONResponse

from runtime.access.scopes import Scope
from runtime.api.gate import needs, open_to_all
from runtime.ascii_json import AsciiJson
from runtime.runs.ports import RunServicePort


def add_health_routes(app: FastAPI, service: RunServicePort) -> None:
    """Add the two routes that a service manager or an orchestrator asks."""

    @app.head("/healthz", dependencies=[open_to_all()], include_in_schema=False)
    @app.get("/healthz", dependencies=[open_to_all()])
    async def healthz() -> JSONResponse:
        """Tell whether the daemon answers at all; it says nothing about the engine or the proxy."""
        return AsciiJson({"status": "ok"})

    @app.get("/readyz", dependencies=[needs(Scope.HEALTH_READ)])
    async def readyz() -> JSONResponse:
        """Tell whether agents may start: 200 when every check is ok, otherwise 503 and each remedy."""
        checks = await service.checks()
        is_ready = all(check.is_ok for check in checks)
        shown = [{"name": c.name, "ok": c.is_ok, "detail": c.detail, "remedy": c.remedy} for c in checks]
        return AsciiJson({"ready": is_ready, "checks": shown}, status_code=200 if is_ready else 503)
