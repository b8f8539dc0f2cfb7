"""The errors that cross the API or end a command: one class is one row of `docs/exit-codes.md`.

    OrchError                      GENERAL_ERROR      1  500
    +- InvalidInputError           INVALID_INPUT      5  400  (ValueError)
    |  +- TooLargeError            DOCUMENT_TOO_LARGE 5  413
    |  +- UnsupportedTypeError     UNSUPPORTED_TYPE   5  415
    +- MissingSecretsError         MISSING_SECRETS    1  400
    +- LlmKeyRequiredError         LLM_KEY_REQUIRED   1  400
    +- NotFoundError               NOT_FOUND          4  404  (LookupError)
    +- AuthRequiredError           AUTH_REQUIRED      2  401
    +- PermissionDeniedError       PERMISSION_DENIED  3  403  (PermissionError)
    +- ConflictError               CONFLICT           1  409
    |  +- InFlightError            .                  .  .
    +- KeyReusedError              IDEMPOTENCY_KEY_REUSED 5  422
    +- GoneError                   GONE               4  410
    +- RateLimitedError            RATE_LIMITED       6  429
    +- SandboxFailedError          SANDBOX_ERROR      1  502
    +- RunTimeoutError             SANDBOX_TIMEOUT    7  504  (TimeoutError)
    +- InterruptedRunError         CANCELLED        130  409
    +- ServerError                 SERVER_ERROR       8  503
    |  +- EngineUnavailableError   .                  .  .    (ConnectionError)
    |  +- NotReadyError            .                  .  .
    |  +- InternalError            INTERNAL_ERROR     8  500
    |  +- ProxyLostError           PROXY_LOST         8  503
    |  +- GuardLostError           GUARD_LOST         8  503
    |  +- NetworkChangedError      NETWORK_CHANGED    8  503
    |  +- VaultKeyError            VAULT_KEY_ERROR    8  503
    +- DaemonUnreachableError      NETWORK_ERROR      9  503  (ConnectionError)

A class with a code of its own is a row; one without is a kind of its base's. Exit statuses and codes follow
the orchagent CLI (docs.orchagent.io/using-agents/cli-commands).
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator
from typing import ClassVar

SHOWN_FRAMES = 5
"""The innermost calls that a log names."""


class OrchError(Exception):
    """Something failed that no other code describes."""

    code: ClassVar[str] = "GENERAL_ERROR"
    """The machine's word for it, in every error that is told as JSON."""
    exit_code: ClassVar[int] = 1
    """The exit status of a command that it ends."""
    status: ClassVar[int] = 500
    """The HTTP status of a request that it ends."""
    is_retryable: bool = False
    """Whether the same request, sent again later, may well succeed."""
    retry_after_s: float | None = None
    """How much later, where that is known."""
    param: str | None = None
    """The field or parameter of the request that is wrong, where there is one."""

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        """`hint` is the remedy; neither text holds a secret. `code` is told in place of the class's own."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.reported_code = code or self.code

    @property
    def exit_status(self) -> int:
        """The exit status of the command that this error ends."""
        return self.exit_code


class InvalidInputError(OrchError, ValueError):
    """A file, field or flag is wrong, and the message names it."""

    code = "INVALID_INPUT"
    exit_code = 5
    status = 400

    def __init__(
        self, message: str, *, hint: str | None = None, code: str | None = None, param: str | None = None
    ) -> None:
        """`param` is the field or parameter that is wrong, where it is one of a request's."""
        super().__init__(message, hint=hint, code=code)
        self.param = param


class TooLargeError(InvalidInputError):
    """The body of a request is larger than it may be."""

    code = "DOCUMENT_TOO_LARGE"
    status = 413


class UnsupportedTypeError(InvalidInputError):
    """The body of a request is of a media type that is not read."""

    code = "UNSUPPORTED_TYPE"
    status = 415


class MissingSecretsError(OrchError):
    """The agent requires secrets that neither the caller nor the workspace has."""

    code = "MISSING_SECRETS"
    status = 400


class LlmKeyRequiredError(OrchError):
    """The agent uses a model, and there is a key for none of its providers."""

    code = "LLM_KEY_REQUIRED"
    status = 400


class NotFoundError(OrchError, LookupError):
    """There is no such run, agent, policy, image, workspace or secret."""

    code = "NOT_FOUND"
    exit_code = 4
    status = 404


class AuthRequiredError(OrchError):
    """The caller is not known."""

    code = "AUTH_REQUIRED"
    exit_code = 2
    status = 401


class PermissionDeniedError(OrchError, PermissionError):
    """The caller is known, and is not allowed to do this."""

    code = "PERMISSION_DENIED"
    exit_code = 3
    status = 403


class ConflictError(OrchError):
    """The state of things rules this out: the run has ended, or the name is taken."""

    code = "CONFLICT"
    status = 409


class InFlightError(ConflictError):
    """The same request is being worked on, and its answer is there in a moment."""

    is_retryable = True
    retry_after_s = 1.0


class KeyReusedError(OrchError):
    """An idempotency key was used before, with another body."""

    code = "IDEMPOTENCY_KEY_REUSED"
    exit_code = 5
    status = 422


class GoneError(OrchError):
    """What is asked for was there, and is no longer kept."""

    code = "GONE"
    exit_code = 4
    status = 410


class RateLimitedError(OrchError):
    """The caller asks too often, and is told when to come again."""

    code = "RATE_LIMITED"
    exit_code = 6
    status = 429
    is_retryable = True

    def __init__(self, message: str, *, retry_after_s: float, hint: str | None = None) -> None:
        """`retry_after_s`: from now on."""
        super().__init__(message, hint=hint or f"try again in {math.ceil(retry_after_s)} s")
        self.retry_after_s = retry_after_s


class SandboxFailedError(OrchError):
    """The agent or its set-up ended with a failure."""

    code = "SANDBOX_ERROR"
    status = 502


class RunTimeoutError(OrchError, TimeoutError):
    """The agent was stopped at its time limit."""

    code = "SANDBOX_TIMEOUT"
    exit_code = 7
    status = 504


class InterruptedRunError(OrchError):
    """The run was cancelled, or Ctrl-C ended the command."""

    code = "CANCELLED"
    exit_code = 130
    status = 409


class ServerError(OrchError):
    """Something that Orchbox needs is not available, such as the container engine, guard or proxy."""

    code = "SERVER_ERROR"
    exit_code = 8
    status = 503
    is_retryable = True


class EngineUnavailableError(ServerError, ConnectionError):
    """The container engine does not answer, or is not there."""


class NotReadyError(ServerError):
    """A guard that cannot be verified, or something else, keeps the daemon from starting agents."""


class StoppingError(NotReadyError):
    """The daemon ends and takes no more runs; another one may be there soon."""

    def __init__(self, message: str, *, retry_after_s: float, hint: str | None = None) -> None:
        """`retry_after_s`: from now on."""
        super().__init__(message, hint=hint or f"try again in {math.ceil(retry_after_s)} s")
        self.retry_after_s = retry_after_s


class InternalError(ServerError):
    """The daemon failed by a defect of its own, and its log says more."""

    code = "INTERNAL_ERROR"
    status = 500
    is_retryable = False


class ProxyLostError(ServerError):
    """The egress proxy went away while the agent ran, so the agent was stopped."""

    code = "PROXY_LOST"


class GuardLostError(ServerError):
    """The host guard was changed or removed while the agent ran, so the agent was stopped."""

    code = "GUARD_LOST"


class NetworkChangedError(ServerError):
    """The sandbox was no longer on its own network alone, so the agent was stopped."""

    code = "NETWORK_CHANGED"


class VaultKeyError(ServerError):
    """The vault cannot be opened, and nothing in it was changed."""

    code = "VAULT_KEY_ERROR"
    is_retryable = False


class DaemonUnreachableError(OrchError, ConnectionError):
    """No daemon answers on the socket."""

    code = "NETWORK_ERROR"
    exit_code = 9
    status = 503


def rows() -> tuple[type[OrchError], ...]:
    """Every class that has a code of its own, in the order of the tree."""
    return tuple(kind for kind in _tree(OrchError) if "code" in vars(kind))


def error_type(code: object) -> type[OrchError] | None:
    """The class of a code; None for one that this version does not know."""
    return next((kind for kind in rows() if kind.code == code), None)


def exit_code_of_answer(code: str, status: int) -> int:
    """The exit status for an error that the API answered with this code and HTTP status.

    The code's own, or, for a code that says no more than the status does, that of the status.
    """
    kind = error_type(code)
    if kind is not None and kind is not OrchError:
        return kind.exit_code
    if status >= 500:
        return ServerError.exit_code
    return next((kind.exit_code for kind in rows() if kind.status == status), OrchError.exit_code)


def frames_of(error: BaseException) -> list[str]:
    """Where an error was raised, for a log: its text is left out, since it may quote what was sent."""
    frames = traceback.extract_tb(error.__traceback__)[-SHOWN_FRAMES:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def _tree(kind: type[OrchError]) -> Iterator[type[OrchError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _tree(below)
