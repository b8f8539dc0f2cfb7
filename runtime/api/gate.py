"""The gate before every route: who calls, and whether they may.

Each route says with `needs` which scope it asks for. One that says nothing keeps the daemon from starting
(`check_routes`), so that a forgotten scope cannot open a route.
"""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from runtime.access.caller import caller_of, find_caller
from runtime.access.scopes import Scope
from runtime.access.service import Tokens
from runtime.api.patient_body import PatientBody
from runtime.api.problems import told
from runtime.api.recorded import SAFE, Refusals
from runtime.errors import OrchError

OPEN = frozenset({"/healthz"})
"""Paths that anybody may ask for: they say nothing."""
DESCRIPTION = "/openapi.json"
"""The one path beside our routes: FastAPI's own, for every caller that is known."""


class Gate:
    """Lets nobody in whom nobody vouches for, before any route is looked for and any body is read."""

    def __init__(self, app: ASGIApp, tokens: Tokens | None, refusals: Refusals) -> None:
        self._app = app
        self._tokens = tokens
        self._refusals = refusals

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer 401 or 429 itself, or pass the request on with its caller."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError("the API speaks HTTP only")
        try:
            if scope["path"] not in OPEN:
                scope["state"]["caller"] = await find_caller(scope, self._tokens)
                if scope["method"] not in SAFE:
                    # Whoever holds a body back must not outlive the token that its head was let in with.
                    receive = PatientBody(receive, lambda: find_caller(scope, self._tokens))
        except OrchError as exc:
            self._refusals.note(scope, exc)
            await told(exc, request_id=scope["state"]["request_id"])(scope, receive, send)
            return
        await self._app(scope, receive, send)


class _Needs:
    def __init__(self, scope: Scope | None) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> None:
        if self.scope is not None:
            caller_of(request).require(self.scope)


def needs(scope: Scope) -> Any:
    """Make a route ask for a scope: `@app.get(path, dependencies=[needs(Scope.RUNS_READ)])`."""
    return Depends(_Needs(scope))


def open_to_all() -> Any:
    """Mark a route as one of `OPEN`."""
    return Depends(_Needs(None))


def check_routes(app: FastAPI) -> None:
    """Raise RuntimeError for a route that does not say once what it needs, or is open and not listed so."""
    for route in app.routes:
        path = getattr(route, "path", "?")
        if isinstance(route, APIRoute):
            asked = [each.call for each in route.dependant.dependencies if isinstance(each.call, _Needs)]
            if len(asked) != 1 or (asked[0].scope is None) != (path in OPEN):
                raise RuntimeError(f"the route {path} does not say which scope it needs")
        elif not (isinstance(route, Route) and path == DESCRIPTION):
            raise RuntimeError(f"the route {path} is none of ours")
