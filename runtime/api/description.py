"""`/openapi.json`: what FastAPI cannot tell by itself of our errors and of who may call."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from runtime.api.gate import OPEN
from runtime.api.problems import MEDIA_TYPE
from runtime.api.secret_body import ChangedSecret, NewSecret, NewWorkspace
from runtime.api.token_body import NewToken, Rotation

BODIES = (ChangedSecret, NewSecret, NewToken, NewWorkspace, Rotation)
"""Whose parts are described beside the routes."""

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "What went wrong (RFC 9457); `code` and `hint` are those of docs/exit-codes.md.",
    "required": ["type", "title", "status", "code", "detail", "retryable"],
    "properties": {
        "type": {"type": "string", "pattern": "^urn:orchbox:error:[a-z_]+$"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "pattern": "^[A-Z_]+$"},
        "detail": {"type": "string"},
        "hint": {"type": "string"},
        "param": {"type": "string"},
        "retryable": {"type": "boolean"},
        "retry_after_ms": {"type": "integer", "minimum": 0},
        "request_id": {"type": "string"},
    },
}
_ANSWER = {
    "description": "A problem.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def describe(app: FastAPI) -> None:
    """Let the app's description say how it answers what it refuses, and that callers show a token."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it


def _described(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(title=app.title, version=app.version, routes=app.routes)
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):  # our answer to that is a problem
        schemas.pop(unused, None)
    schemas["Problem"] = PROBLEM
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "bearerFormat": "orch_..."}
    }
    for model in BODIES:
        schemas |= model.model_json_schema(ref_template="#/components/schemas/{model}").get("$defs", {})
    for path, operations in found["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _ANSWER
            operation["security"] = [] if path in OPEN else [{"token": []}]
    return found
