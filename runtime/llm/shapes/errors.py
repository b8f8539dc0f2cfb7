"""Errors in OpenAI's shape, which every OpenAI client can read: the router's only status table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtime.llm.plan.chain import FailureKind, Route
from runtime.llm.shapes.failure import Failure

_STATUS = {
    FailureKind.RATE_LIMITED: 429,
    FailureKind.SERVER_ERROR: 503,
    FailureKind.TIMEOUT: 504,
    FailureKind.CONNECTION_ERROR: 502,
    FailureKind.BAD_REQUEST: 400,
    FailureKind.UNAUTHORIZED: 401,
    FailureKind.FORBIDDEN: 403,
    FailureKind.NOT_FOUND: 404,
    FailureKind.REFUSED_BY_POLICY: 403,
    FailureKind.OTHER: 502,
}
_TYPE = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error"}
_TYPE |= {404: "invalid_request_error", 413: "invalid_request_error", 429: "rate_limit_error"}
_KEEPS_STATUS = {FailureKind.SERVER_ERROR, FailureKind.BAD_REQUEST}
"""Kinds whose upstream status is passed on as it was."""
MAX_RETRY_AFTER_CHARS = 40


class RouterError(Exception):
    """A refusal or failure that is answered; `message` is for the agent's author, never a secret."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        detail: Sequence[dict[str, str]] = (),
        retry_after: str | None = None,
        is_final: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.detail = list(detail)
        self.retry_after = retry_after
        self.is_final = is_final
        """Asking again cannot help: the OpenAI SDKs retry a 429 unless they are told."""

    def body(self) -> dict[str, Any]:
        """The `error` object of the reply, in OpenAI's shape."""
        error: dict[str, Any] = {
            "message": self.message,
            "type": _TYPE.get(self.status, "server_error"),
            "param": self.param,
            "code": self.code,
        }
        return {"error": error | ({"attempts": self.detail} if self.detail else {})}

    def headers(self) -> dict[str, str]:
        """What the SDKs obey beside the status."""
        headers = {"x-should-retry": "false"} if self.is_final else {}
        if self.retry_after is not None and self.retry_after.isascii() and self.retry_after.isprintable():
            headers["retry-after"] = self.retry_after[:MAX_RETRY_AFTER_CHARS]
        return headers


def all_failed(failures: Sequence[tuple[Route, Failure]]) -> RouterError:
    """The last failure, with one line for each attempt."""
    route, last = failures[-1]
    status = _STATUS[last.kind]
    if last.status is not None and last.kind in _KEEPS_STATUS:
        status = last.status
    listed = "; ".join(f"{tried}: {failure.reason}" for tried, failure in failures)
    message = f"{route} did not answer ({listed})"
    if last.text:
        message = f"{route}: {last.text} ({listed})"
    return RouterError(
        status,
        last.kind.value,
        message,
        param=last.param,
        detail=[{"model": str(tried), "reason": failure.reason} for tried, failure in failures],
        retry_after=last.retry_after,
    )
