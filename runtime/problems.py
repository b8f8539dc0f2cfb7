"""Errors over HTTP: problem+json (RFC 9457), with the status that each OrchError carries."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from runtime.errors import OrchError

MEDIA_TYPE = "application/problem+json"


def problem(status: int, code: str, detail: str, *, hint: str | None = None) -> JSONResponse:
    """One error; `code` is orchagent's word for it."""
    body = {
        "type": f"urn:orchbox:error:{code.lower()}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "code": code,
        "detail": detail,
        **({"hint": hint} if hint else {}),
    }
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of the app in this form. None of them echoes what was sent."""

    @app.exception_handler(OrchError)
    async def on_orch_error(_request: Request, exc: OrchError) -> JSONResponse:
        return problem(exc.status, exc.reported_code, exc.message, hint=exc.hint)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_request: Request, exc: RequestValidationError) -> JSONResponse:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return problem(400, "INVALID_INPUT", f"{where}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def on_http(_request: Request, exc: HTTPException) -> JSONResponse:
        code = {404: "NOT_FOUND", 405: "INVALID_INPUT"}.get(exc.status_code, "GENERAL_ERROR")
        return problem(exc.status_code, code, str(exc.detail))

    @app.exception_handler(Exception)
    async def on_bug(_request: Request, _exc: Exception) -> JSONResponse:
        return problem(500, "INTERNAL_ERROR", "the daemon failed on this request; its log says more")
