"""What a caller may do: the scopes that routes ask for, and the roles that have them. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.errors import NotFoundError, PermissionDeniedError


class Scope(enum.StrEnum):
    """One kind of thing that a caller may do."""

    HEALTH_READ = "health:read"
    METRICS_READ = "metrics:read"
    """Figures of the whole host, with no name of a run, host or secret in them."""
    RUNS_READ = "runs:read"
    RUNS_WRITE = "runs:write"
    WORKSPACES_READ = "workspaces:read"
    WORKSPACES_WRITE = "workspaces:write"
    SECRETS_READ = "secrets:read"
    """Names and times; there is no scope for values, which nobody is told."""
    SECRETS_WRITE = "secrets:write"
    SECRETS_AUDIT = "secrets:audit"
    VAULT_ROTATE = "vault:rotate"
    RECORDS_PRUNE = "records:prune"
    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"
    POLICIES_EXPLAIN = "policies:explain"
    POLICIES_RESOLVE = "policies:resolve"
    """Have the daemon's host look a name up for an explanation, and be told addresses and folders."""


class Role(enum.StrEnum):
    """Whom a token is for."""

    OPERATOR = "operator"
    """Who keeps the host: everything."""
    ORCHESTRATOR = "orchestrator"
    """A platform that runs agents for its users."""
    TESTER = "tester"
    """Who probes what a sandbox can do, with keys of their own."""
    VIEWER = "viewer"
    """Who only looks."""


_LOOKS = {Scope.HEALTH_READ, Scope.RUNS_READ, Scope.POLICIES_EXPLAIN}
ROLES: Mapping[Role, frozenset[Scope]] = {
    Role.OPERATOR: frozenset(Scope),
    Role.ORCHESTRATOR: frozenset(
        {
            *_LOOKS,
            Scope.METRICS_READ,
            Scope.RUNS_WRITE,
            Scope.WORKSPACES_READ,
            Scope.SECRETS_READ,
            Scope.SECRETS_WRITE,
            Scope.SECRETS_AUDIT,
        }
    ),
    Role.TESTER: frozenset({*_LOOKS, Scope.RUNS_WRITE}),
    Role.VIEWER: frozenset({*_LOOKS, Scope.METRICS_READ, Scope.WORKSPACES_READ, Scope.SECRETS_READ}),
}
HOST_WIDE = frozenset(
    {
        Scope.METRICS_READ,
        Scope.WORKSPACES_WRITE,
        Scope.VAULT_ROTATE,
        Scope.RECORDS_PRUNE,
        Scope.TOKENS_READ,
        Scope.TOKENS_WRITE,
        Scope.POLICIES_RESOLVE,
    }
)
"""What concerns all workspaces: nobody who is bound to one may do it, whatever the role."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what they may do."""

    name: str
    """For the audit: `uid:N` for the user at the other end of the unix socket, `token:ID` for a token."""
    role: Role
    workspace: str | None = None
    """The only workspace that the caller sees; None is all of them."""

    def may(self, scope: Scope) -> bool:
        """Whether the role has it, and the caller's workspace does not rule it out."""
        return scope in ROLES[self.role] and (self.workspace is None or scope not in HOST_WIDE)

    def require(self, scope: Scope) -> None:
        """Raise PermissionDeniedError naming the scope, where the caller may not do that."""
        if self.may(scope):
            return
        bound = "" if self.workspace is None else f", bound to the workspace {self.workspace}"
        hint = "use a token of a role that has it: orch token create --role ROLE"
        if self.workspace is not None and scope in HOST_WIDE:
            hint = "use a token that is bound to no workspace, of a role that has it"
        raise PermissionDeniedError(
            f"this needs the scope {scope.value}, and the caller is a {self.role.value}{bound}",
            hint=hint,
        )

    def sees(self, workspace: str) -> bool:
        """Whether what is in this workspace is there for the caller."""
        return self.workspace in {None, workspace}

    def enter(self, workspace: str) -> None:
        """Raise NotFoundError for a workspace that the caller does not see, as for one that is not there."""
        if not self.sees(workspace):
            raise NotFoundError("no such workspace", hint="orch workspaces list")
