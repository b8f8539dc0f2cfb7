"""From an exception of an SDK to the kind of failure. Knows the SDKs' names, imports none of them.

What they raise, read in any-llm-sdk 1.40.2, openai 3.57.0, anthropic 0.125.0: any-llm keeps the SDK's
exception in `original_exception`; the SDKs wrap whatever a transport raises, our refusals too, as the cause
of an APIConnectionError.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from typing import NamedTuple

from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import RefusedError
from runtime.llm.plan.chain import FailureKind, is_retryable
from runtime.model.llm_providers import HOSTED

MAX_TEXT_CHARS = 500

_BY_STATUS = {
    400: FailureKind.BAD_REQUEST,
    401: FailureKind.UNAUTHORIZED,
    403: FailureKind.FORBIDDEN,
    404: FailureKind.NOT_FOUND,
    408: FailureKind.TIMEOUT,
    413: FailureKind.BAD_REQUEST,
    422: FailureKind.BAD_REQUEST,
    429: FailureKind.RATE_LIMITED,
}
_BY_ERROR_TYPE = {
    # Anthropic sends these in a stream whose status was 200.
    "overloaded_error": FailureKind.SERVER_ERROR,
    "api_error": FailureKind.SERVER_ERROR,
    "timeout_error": FailureKind.TIMEOUT,
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "authentication_error": FailureKind.UNAUTHORIZED,
    "permission_error": FailureKind.FORBIDDEN,
    "invalid_request_error": FailureKind.BAD_REQUEST,
    "not_found_error": FailureKind.NOT_FOUND,
}
_TIMEOUTS = {"TimeoutError", "TimeoutException", "APITimeoutError"}
_CONNECTION = {"OSError", "ConnectionError", "TransportError", "APIConnectionError"}
_NOT_SENT = {"InvalidRequestError", "UnsupportedParameterError", "UnsupportedRequestError"}
"""any-llm refuses, before anything is sent, what a provider does not have."""
_PARAMETERS = {"CompletionParams", "ResponsesParams"}
_KEY_STARTS = (*(re.escape(row.key_start) for row in HOSTED.values()), "Bearer ")
_KEY_LIKE = re.compile(rf"\b({'|'.join(_KEY_STARTS)})[^\s\"',;]{{6,}}")


class Failure(NamedTuple):
    """Why one attempt failed; `text` is ours unless `is_retryable` says no."""

    kind: FailureKind
    status: int | None = None
    """The upstream's, where there was an answer."""
    text: str = ""
    """The provider's explanation where the request is at fault; empty for all else."""
    param: str | None = None
    retry_after: str | None = None

    @property
    def reason(self) -> str:
        """For events and details: `rate_limited (429)`."""
        return self.kind.value + (f" ({self.status})" if self.status else "")

    @property
    def is_retryable(self) -> bool:
        """Whether the next entry is asked."""
        return is_retryable(self.kind)


class UnsupportedRequestError(ValueError):
    """A request that this provider cannot be asked in this shape; the text says what to use."""


def classify(error: BaseException) -> Failure:
    """The failure behind an exception of an attempt."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, RefusedError):
            return _refused(cause)
    names = {base.__name__ for cause in causes for base in type(cause).__mro__}
    status = next((code for cause in causes if (code := _status(cause)) is not None), None)
    retry_after = next((cause.retry_after for cause in causes if hasattr(cause, "retry_after")), None)
    kind = _kind(causes, names, status)
    text, param = "", None
    if kind in {FailureKind.BAD_REQUEST, FailureKind.NOT_FOUND}:
        text = _KEY_LIKE.sub("***", _message(causes))[:MAX_TEXT_CHARS]
        param = next((p for cause in causes if isinstance(p := getattr(cause, "param", None), str)), None)
    return Failure(kind, status, text, param, retry_after if isinstance(retry_after, str) else None)


def _kind(causes: list[BaseException], names: set[str], status: int | None) -> FailureKind:
    if names & _TIMEOUTS:
        return FailureKind.TIMEOUT
    if status is None and (names & _CONNECTION or any(isinstance(cause, ssl.SSLError) for cause in causes)):
        return FailureKind.CONNECTION_ERROR
    if "AuthenticationError" in names and status == 400:  # Gemini's answer to a wrong key
        return FailureKind.UNAUTHORIZED
    if status is not None and status >= 500:
        return FailureKind.SERVER_ERROR
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    for cause in causes:
        if (kind := _BY_ERROR_TYPE.get(_error_type(cause))) is not None:
            return kind
    is_parameter = any(getattr(cause, "title", None) in _PARAMETERS for cause in causes)
    if is_parameter or (status is None and names & _NOT_SENT):
        return FailureKind.BAD_REQUEST
    return FailureKind.OTHER


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and what it was made from, outermost first."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        cause = todo.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        original = getattr(cause, "original_exception", None)
        todo += [original if isinstance(original, BaseException) else None, cause.__cause__]


def _status(error: BaseException) -> int | None:
    """A 200 is none: an SDK could not read what came with it, or the stream held an error."""
    value = getattr(error, "status_code", None)
    return value if isinstance(value, int) and 300 <= value < 600 else None


def _error_type(error: BaseException) -> str:
    for name in ("error_type", "type"):
        value = getattr(error, name, None)
        if isinstance(value, str):
            return value
    return ""


def _message(causes: list[BaseException]) -> str:
    """What the provider wrote, without the SDK's wrapping; never a body as a whole."""
    for cause in reversed(causes):
        body = getattr(cause, "body", None)
        if isinstance(body, list) and body:  # Gemini's, in OpenAI's shape
            body = body[0]
        inner = body.get("error", body) if isinstance(body, dict) else None
        if isinstance(inner, dict) and isinstance(inner.get("message"), str):
            return str(inner["message"])
    if any(getattr(cause, "title", None) in _PARAMETERS for cause in causes):
        return _parameter_message(causes)
    for cause in causes:
        if isinstance(message := getattr(cause, "message", None), str):
            return message
    return str(causes[0]) if isinstance(causes[0], UnsupportedRequestError) else ""


def _parameter_message(causes: list[BaseException]) -> str:
    """Pydantic's first finding, without the value that was sent."""
    for cause in causes:
        errors = getattr(cause, "errors", None)
        if callable(errors):
            first = errors(include_input=False, include_url=False)[0]
            return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return "a parameter is not valid"


def _refused(refused: RefusedError) -> Failure:
    """DNS that does not answer is a failure of the network; all else is the policy's no."""
    if refused.decision.reason_code is ReasonCode.DNS_FAILURE:
        return Failure(FailureKind.CONNECTION_ERROR)
    reason = refused.decision.reason_code
    return Failure(
        FailureKind.REFUSED_BY_POLICY, text=f"{refused.decision.detail} ({reason.value if reason else ''})"
    )
