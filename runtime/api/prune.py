"""`/v1/prune`: remove what is beyond the bounds of age and size."""

from __future__ import annotations

import dataclasses

from fastapi import FastAPI
from starlette.responses import JSONResponse

from runtime.access.scopes import Scope
from runtime.api.gate import needs
from runtime.ascii_json import AsciiJson
from runtime.runs.retention import RetentionPort


def add_prune_route(app: FastAPI, retention: RetentionPort) -> None:
    """Add the route that `orch prune` asks."""

    @app.post("/v1/prune", dependencies=[needs(Scope.RECORDS_PRUNE)])
    async def prune(*, dry_run: bool = False) -> JSONResponse:
        """Remove finished runs and audit lines beyond the operator's bounds, and count them.

        With `dry_run=true` nothing is removed. Runs that have not ended are never touched.
        """
        pruned = await retention.prune(is_dry=dry_run)
        return AsciiJson({"dry_run": dry_run, **dataclasses.asdict(pruned)})
