"""The errors that cross the API or end a command.

    OrchError
    +- InvalidInputError     5  400  a file, field or flag is wrong
    +- NotFoundError         4  404  no such run, agent, policy, image, workspace or secret
    +- AuthRequiredError     2  401
    +- PermissionDeniedError 3  403
    +- ConflictError         1  409  the run has ended, the name is taken
    +- RunTimeoutError       7  504  (TimeoutError)
    +- SandboxFailedError    1  502  the agent or its set-up failed
    +- EngineUnavailableError 8 503  no container engine answers
    +- NotReadyError         8  503  the guard or the proxy cannot be verified
    +- VaultKeyError         8  503  the vault's key is missing, wrong, or its KMS is away
    +- DaemonUnreachableError 9 503  (ConnectionError) no daemon behind the socket

Exit codes and codes follow the orchagent CLI (docs.orchagent.io/using-agents/cli-commands).
"""

from __future__ import annotations

from typing import ClassVar


class OrchError(Exception):
    """Base: `code` is the machine's word, `hint` the remedy, never a secret in either."""

    code: ClassVar[str] = "GENERAL_ERROR"
    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.reported_code = code or self.code


class InvalidInputError(OrchError, ValueError):
    """A file, field or flag is wrong; the message names it."""

    code = "INVALID_INPUT"
    exit_code = 5
    status = 400


class NotFoundError(OrchError, LookupError):
    """No such run, agent, policy, image, workspace or secret."""

    code = "NOT_FOUND"
    exit_code = 4
    status = 404


class AuthRequiredError(OrchError):
    """The caller is not known."""

    code = "AUTH_REQUIRED"
    exit_code = 2
    status = 401


class PermissionDeniedError(OrchError, PermissionError):
    """The caller is known and may not."""

    code = "PERMISSION_DENIED"
    exit_code = 3
    status = 403


class ConflictError(OrchError):
    """The thing is not in a state for this."""

    code = "CONFLICT"
    status = 409


class RunTimeoutError(OrchError, TimeoutError):
    """The run's time limit passed."""

    code = "TIMEOUT"
    exit_code = 7
    status = 504


class SandboxFailedError(OrchError):
    """The agent, or its set-up, ended with a failure."""

    code = "SANDBOX_ERROR"
    status = 502


class EngineUnavailableError(OrchError, ConnectionError):
    """No container engine answers."""

    code = "SERVER_ERROR"
    exit_code = 8
    status = 503


class NotReadyError(OrchError):
    """A guard that cannot be verified keeps the daemon from starting agents."""

    code = "SERVER_ERROR"
    exit_code = 8
    status = 503


class VaultKeyError(OrchError):
    """The vault cannot be opened; nothing in it was changed."""

    code = "VAULT_KEY_ERROR"
    exit_code = 8
    status = 503


class DaemonUnreachableError(OrchError, ConnectionError):
    """No daemon answers on the socket."""

    code = "NETWORK_ERROR"
    exit_code = 9
    status = 503
