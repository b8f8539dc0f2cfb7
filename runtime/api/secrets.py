"""The routes of workspaces and their secrets. Values go in; none comes out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import FastAPI, Query, Request
from starlette.responses import JSONResponse

from runtime.access.caller import caller_of
from runtime.access.scopes import Scope
from runtime.api.gate import needs
from runtime.api.recorded import record
from runtime.api.secret_body import (
    ChangedSecret,
    NewSecret,
    NewWorkspace,
    read_body,
)
from runtime.model.run import DEFAULT_WORKSPACE
from runtime.model.secret import Secret
from runtime.vault.entry import SecretEntry
from runtime.vault.service import Vault

MAX_AUDIT_LINES = 1000
OWN = "-"
"""No workspace has this name."""
SECRETS = "/v1/workspaces/{workspace}/secrets"


def add_vault_routes(app: FastAPI, vault: Vault) -> None:
    """Add the routes of workspaces, their secrets, the audit of both, and rotation."""
    _add_workspace_routes(app, vault)
    _add_collection_routes(app, vault)
    _add_secret_routes(app, vault)


async def entered(request: Request, vault: Vault, ref: str) -> str:
    """The name of a workspace that the caller sees, by its id, its name, or `-` for the caller's own.

    Raises NotFoundError.
    """
    if ref == OWN:
        return caller_of(request).workspace or DEFAULT_WORKSPACE
    found = await vault.workspace(ref)
    caller_of(request).enter(found.name)
    return found.name


def _add_workspace_routes(app: FastAPI, vault: Vault) -> None:
    @app.get("/v1/workspaces", dependencies=[needs(Scope.WORKSPACES_READ)])
    async def list_workspaces(request: Request) -> JSONResponse:
        """List the workspaces that the caller sees."""
        caller = caller_of(request)
        found = [each for each in await vault.workspaces() if caller.sees(each.name)]
        return JSONResponse({"workspaces": [asdict(each) for each in found]})

    @app.post("/v1/workspaces", dependencies=[needs(Scope.WORKSPACES_WRITE)], status_code=201)
    async def create_workspace(request: Request) -> JSONResponse:
        """Create a workspace; its name is `[a-z0-9-]`, and 409 answers one that is taken."""
        body = await read_body(request, NewWorkspace)
        return JSONResponse(asdict(await vault.add_workspace(body.name)), status_code=201)

    @app.post("/v1/vault/rotate", dependencies=[needs(Scope.VAULT_ROTATE)])
    async def rotate(request: Request) -> JSONResponse:
        """Rotate the vault: every secret is encrypted anew under a new key; tells how many there were."""
        return JSONResponse({"rotated": await vault.rotate(who=caller_of(request).name)})


def _add_collection_routes(app: FastAPI, vault: Vault) -> None:
    @app.get(SECRETS, dependencies=[needs(Scope.SECRETS_READ)])
    async def list_secrets(workspace: str, request: Request) -> JSONResponse:
        """List a workspace's secrets: names, types, descriptions and times, never a value."""
        workspace = await entered(request, vault, workspace)
        return JSONResponse({"secrets": [asdict(found) for found in await vault.entries(workspace)]})

    @app.post(SECRETS, dependencies=[needs(Scope.SECRETS_WRITE)], status_code=201)
    async def create_secret(workspace: str, request: Request) -> JSONResponse:
        """Create a secret; 409 answers a name that is taken."""
        return JSONResponse(asdict(await _put(workspace, request, must_be_new=True)), status_code=201)

    @app.put(SECRETS, dependencies=[needs(Scope.SECRETS_WRITE)])
    async def put_secret(workspace: str, request: Request) -> JSONResponse:
        """Create a secret, or replace its value where the name is taken.

        The answer comes once every running sandbox that has it uses the new value.
        """
        return JSONResponse(asdict(await _put(workspace, request, must_be_new=False)))

    async def _put(workspace: str, request: Request, *, must_be_new: bool) -> SecretEntry:
        workspace = await entered(request, vault, workspace)
        body = await read_body(request, NewSecret)
        put = await vault.put(
            workspace,
            body.name,
            Secret(body.value.get_secret_value()),
            who=caller_of(request).name,
            description=body.description,
            secret_type=body.secret_type,
            must_be_new=must_be_new,
        )
        record(request, secret=put.name)
        return put

    @app.get(SECRETS + "/audit", dependencies=[needs(Scope.SECRETS_AUDIT)])
    async def audit(
        workspace: str, request: Request, limit: Annotated[int, Query(ge=1, le=MAX_AUDIT_LINES)] = 100
    ) -> JSONResponse:
        """List who set, read and deleted which secret, and for which run, the newest first."""
        workspace = await entered(request, vault, workspace)
        return JSONResponse({"audit": [asdict(line) for line in await vault.audit(workspace, limit)]})


def _add_secret_routes(app: FastAPI, vault: Vault) -> None:
    @app.patch(SECRETS + "/{ref}", dependencies=[needs(Scope.SECRETS_WRITE)])
    async def change_secret(workspace: str, ref: str, request: Request) -> JSONResponse:
        """Change a secret's value or description; it is named by its id or its name."""
        workspace = await entered(request, vault, workspace)
        body = await read_body(request, ChangedSecret)
        value = Secret(body.value.get_secret_value()) if body.value is not None else None
        changed = await vault.patch(
            workspace, ref, who=caller_of(request).name, value=value, description=body.description
        )
        record(request, secret=changed.name)
        return JSONResponse(asdict(changed))

    @app.delete(SECRETS + "/{ref}", dependencies=[needs(Scope.SECRETS_WRITE)])
    async def delete_secret(workspace: str, ref: str, request: Request) -> JSONResponse:
        """Delete a secret, named by its id or its name; running sandboxes lose it before the answer comes."""
        workspace = await entered(request, vault, workspace)
        name = await vault.delete(workspace, ref, who=caller_of(request).name)
        record(request, secret=name)
        return JSONResponse({"name": name, "deleted": True})
