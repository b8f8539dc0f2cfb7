"""The runner API: thin routes over the run service. Bound to an owner-only unix socket by the daemon."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from runtime.api import problems
from runtime.api.health import add_health_routes
from runtime.api.prune import add_prune_route
from runtime.api.runs import add_run_routes
from runtime.api.secrets import add_vault_routes
from runtime.runs.ports import RunServicePort
from runtime.runs.retention import RetentionPort
from runtime.vault.service import Vault


def make_api(
    service: RunServicePort,
    *,
    vault: Vault | None = None,
    retention: RetentionPort | None = None,
    lifespan: Any = None,
) -> FastAPI:
    """Make the API over a run service and, where there are such, a vault and the pruning of records.

    `lifespan` is what the daemon starts before and stops after serving.
    """
    app = FastAPI(title="Orchbox runner API", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    problems.install(app)
    add_run_routes(app, service)
    add_health_routes(app, service)
    if vault is not None:
        add_vault_routes(app, vault)
    if retention is not None:
        add_prune_route(app, retention)
    return app
