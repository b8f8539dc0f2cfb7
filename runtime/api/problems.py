"""Errors over HTTP: problem+json (RFC 9457), with the status that each OrchError carries.

Every answer has an `X-Request-Id`, which a problem repeats and the daemon's log names for a failure of ours.
No problem and no log line echoes what was sent.
"""

from __future__ import annotations

import math
import uuid
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.ascii_json import AsciiJson
from runtime.errors import (
    AuthRequiredError,
    InternalError,
    InvalidInputError,
    NotFoundError,
    OrchError,
    frames_of,
)

MEDIA_TYPE = "application/problem+json"
_ROUTING: dict[int, type[OrchError]] = {404: NotFoundError, 405: InvalidInputError}
"""What the router raises where no route fits."""


def problem(
    status: int, code: str, detail: str, *, is_retryable: bool = False, **more: object
) -> JSONResponse:
    """One error; `code` is orchagent's word for it. `more` are further members; None is left out."""
    body = {
        "type": f"urn:orchbox:error:{code.lower()}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "code": code,
        "detail": detail,
        "retryable": is_retryable,
        **{name: value for name, value in more.items() if value is not None},
    }
    return AsciiJson(body, status_code=status, media_type=MEDIA_TYPE)


def told(exc: OrchError, *, request_id: str) -> JSONResponse:
    """An error of ours as its answer, with the headers that HTTP wants beside it (RFC 9110)."""
    wait_s = exc.retry_after_s
    answer = problem(
        exc.status,
        exc.reported_code,
        exc.message,
        is_retryable=exc.is_retryable,
        hint=exc.hint or None,
        param=exc.param,
        retry_after_ms=None if wait_s is None else math.ceil(wait_s * 1000),
        request_id=request_id,
    )
    if isinstance(exc, AuthRequiredError):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="orchbox"'
    if wait_s is not None:
        answer.headers["Retry-After"] = str(math.ceil(wait_s))
    return answer


def install(app: FastAPI) -> None:
    """Answer every error of the app in this form."""

    @app.exception_handler(OrchError)
    async def on_orch_error(request: Request, exc: OrchError) -> JSONResponse:
        return told(exc, request_id=request.state.request_id)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, exc: RequestValidationError) -> JSONResponse:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        wrong = InvalidInputError(f"{where}: {first['msg']}", param=str(first["loc"][-1]))
        return told(wrong, request_id=request.state.request_id)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, exc: HTTPException) -> JSONResponse:
        code = _ROUTING.get(exc.status_code, OrchError).code
        phrase = HTTPStatus(exc.status_code).phrase  # not `exc.detail`: a library may quote what was sent
        answer = problem(exc.status_code, code, phrase, request_id=request.state.request_id)
        if exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            answer.headers["Allow"] = ", ".join(_methods_of(request))
        return answer

    app.add_middleware(_LastResort)


def _methods_of(request: Request) -> list[str]:
    """What this path takes (RFC 9110, section 15.5.6), by all its routes: the router tells of one of them."""
    fits = [
        route
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
    ]
    return sorted({method for route in fits if route.path == fits[0].path for method in route.methods or ()})


class _LastResort:
    """Numbers requests; a bug becomes a 500 and a log line without the exception's text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = structlog.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        has_started = False

        async def numbered(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, numbered)
        except ClientDisconnect:  # it left in the middle of its body, and nobody hears this
            detail = "the body of the request did not come"
            await problem(400, InvalidInputError.code, detail, request_id=request_id)(
                scope, receive, numbered
            )
        except Exception as exc:  # noqa: BLE001 - whatever it is, the caller gets a problem and we a line
            self._log.error(
                "request-failed",
                request_id=request_id,
                path=scope["path"],
                error=type(exc).__name__,
                where=frames_of(exc),
            )
            if not has_started:
                detail = "the daemon failed on this request; its log says more"
                answer = problem(InternalError.status, InternalError.code, detail, request_id=request_id)
                await answer(scope, receive, numbered)
