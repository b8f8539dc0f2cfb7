"""The runner API: thin routes over the run service. Bound to an owner-only unix socket by the daemon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Depends, FastAPI

from proxy.destination.resolve import Lookup
from runtime.access.service import Tokens
from runtime.api import problems
from runtime.api.counts import Counting, RequestCounts
from runtime.api.description import describe
from runtime.api.gate import Gate, check_routes
from runtime.api.health import add_health_routes
from runtime.api.metrics import Exposition, add_metrics_route
from runtime.api.policies import LoadPolicy, add_policy_routes
from runtime.api.prune import add_prune_route
from runtime.api.query import strict_query
from runtime.api.recorded import Recorded, Refusals
from runtime.api.runs import add_run_routes
from runtime.api.secrets import add_vault_routes
from runtime.api.tokens import add_token_routes
from runtime.api.waits import Waits
from runtime.audit.port import AuditPort, NoAudit
from runtime.explain.addresses import no_lookup
from runtime.idempotency.service import Retries
from runtime.runs.ports import RunServicePort
from runtime.runs.retention import RetentionPort
from runtime.vault.service import Vault


def make_api(  # noqa: PLR0913 - keywords, each a part
    service: RunServicePort,
    *,
    vault: Vault | None = None,
    retention: RetentionPort | None = None,
    tokens: Tokens | None = None,
    audit: AuditPort | None = None,
    metrics: Exposition | None = None,
    counts: RequestCounts | None = None,
    policies: LoadPolicy | None = None,
    make_lookup: Callable[[], Lookup] = lambda: no_lookup,
    retries: Retries | None = None,
    lifespan: Any = None,
) -> FastAPI:
    """Make the API over a run service and what else there is.

    `metrics` is what Prometheus is answered with; each answer is counted in `counts`. `make_lookup` is for
    explanations that look a name up. `lifespan` is what the daemon starts before and stops after serving; its
    `state.waits` is to be ended when the daemon stops.

    Raises RuntimeError for a route that does not say who may ask for it.
    """
    app = FastAPI(
        title="Orchbox runner API",
        version="1",
        lifespan=lifespan,
        dependencies=[Depends(strict_query)],
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would send the caller, and its token, to the host of its Host header
    )
    audit = audit or NoAudit()
    app.add_middleware(Recorded, audit=audit)
    app.add_middleware(Gate, tokens=tokens, refusals=Refusals(audit))  # around it: it says who calls
    problems.install(app)  # around the gate: its refusals are numbered, too
    if counts is not None:
        app.add_middleware(Counting, counts=counts)  # around all: every answer counts
    app.state.waits = Waits()
    add_run_routes(app, service, vault, app.state.waits, retries)
    add_health_routes(app, service)
    if vault is not None:
        add_vault_routes(app, vault, retries)
    if retention is not None:
        add_prune_route(app, retention)
    if tokens is not None and vault is not None:
        add_token_routes(app, tokens, vault, retries)
    if metrics is not None:
        add_metrics_route(app, metrics)
    if policies is not None:
        add_policy_routes(app, policies, make_lookup)
    check_routes(app)
    describe(app)
    return app
