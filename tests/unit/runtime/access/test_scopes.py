"""runtime.access.scopes: what each role may do, written out once more, and what a workspace takes away."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runtime.access.scopes import HOST_WIDE, ROLES, Caller, Role, Scope
from runtime.errors import NotFoundError, PermissionDeniedError

MAY = {
    Role.ORCHESTRATOR: {
        *("health:read", "metrics:read", "runs:read", "runs:write", "workspaces:read", "policies:explain"),
        *("secrets:read", "secrets:write", "secrets:audit"),
    },
    Role.TESTER: {"health:read", "runs:read", "runs:write", "policies:explain"},
    Role.VIEWER: {
        *("health:read", "metrics:read", "runs:read", "workspaces:read", "secrets:read", "policies:explain"),
    },
}


def test_an_operator_may_do_everything():
    """A scope that is added is the operator's at once, and nobody else's."""
    assert ROLES[Role.OPERATOR] == frozenset(Scope)
    assert set(ROLES) == set(Role)


@pytest.mark.parametrize("role", MAY)
@pytest.mark.parametrize("scope", Scope)
def test_a_role_may_do_what_is_listed_and_nothing_else(role: Role, scope: Scope):
    """Every pair of them; a refusal names the scope and the role."""
    caller = Caller("token:1", role)
    assert caller.may(scope) == (scope.value in MAY[role])
    if not caller.may(scope):
        with pytest.raises(PermissionDeniedError, match=f"{scope.value}.*{role.value}"):
            caller.require(scope)


@pytest.mark.parametrize("scope", sorted(HOST_WIDE))
@pytest.mark.parametrize("role", Role)
def test_nobody_bound_to_a_workspace_touches_the_others(role: Role, scope: Scope):
    """An operator's token among them."""
    with pytest.raises(PermissionDeniedError, match="bound to the workspace mine") as refused:
        Caller("token:1", role, "mine").require(scope)
    assert "bound to no workspace" in (refused.value.hint or "")


def test_another_workspace_is_as_one_that_is_not_there():
    """The words are those of `vault.rows.find_workspace`."""
    bound = Caller("token:1", Role.OPERATOR, "mine")
    bound.enter("mine")
    with pytest.raises(NotFoundError, match=r"^no such workspace$"):
        bound.enter("other")
    Caller("token:1", Role.VIEWER).enter("other")


def test_the_page_has_the_table_as_it_is():
    """Each scope in one row, with the roles that have it."""
    page = (Path(__file__).resolve().parents[4] / "docs/api.md").read_text()
    head, *rows = re.findall(r"(?m)^\| (?!-)(.*) \|$", page.partition("## Tokens")[0])
    names = [cell.strip() for cell in head.split("|")][1:]
    told = {}
    for row in rows:
        scopes, *cells = (cell.strip() for cell in row.split("|"))
        roles = {name for name, cell in zip(names, cells, strict=False) if cell == "yes"}
        told |= dict.fromkeys(re.findall(r"`([a-z:]+)`", scopes), roles)
    assert told == {scope.value: {role.value for role in Role if scope in ROLES[role]} for scope in Scope}
