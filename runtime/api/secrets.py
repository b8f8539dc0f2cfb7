"""The routes of workspaces and their secrets. Values go in; none comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from starlette.responses import JSONResponse, Response

from runtime.access.caller import caller_of
from runtime.access.scopes import Scope
from runtime.api.gate import needs
from runtime.api.idempotency import KEY_SCHEMA, Asked, Note, created, once
from runtime.api.json_body import body_schema, parse_body
from runtime.api.recorded import record
from runtime.api.secret_body import (
    ChangedSecret,
    NewSecret,
    NewWorkspace,
    read_body,
    read_bytes,
)
from runtime.idempotency.service import Answer, Retries
from runtime.model.run import DEFAULT_WORKSPACE
from runtime.model.secret import Secret
from runtime.vault.entry import SecretEntry
from runtime.vault.service import Vault

MAX_AUDIT_LINES = 1000
OWN = "-"
"""No workspace has this name."""
SECRETS = "/v1/workspaces/{workspace}/secrets"


def add_vault_routes(app: FastAPI, vault: Vault, retries: Retries | None) -> None:
    """Add the routes of workspaces, their secrets, the audit of both, and rotation."""
    _add_workspace_routes(app, vault, retries)
    _add_collection_routes(app, vault, retries)
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


def _add_workspace_routes(app: FastAPI, vault: Vault, retries: Retries | None) -> None:
    @app.get("/v1/workspaces", dependencies=[needs(Scope.WORKSPACES_READ)])
    async def list_workspaces(request: Request) -> JSONResponse:
        """List the workspaces that the caller sees."""
        caller = caller_of(request)
        found = [each for each in await vault.workspaces() if caller.sees(each.name)]
        return JSONResponse({"workspaces": [asdict(each) for each in found]})

    @app.post(
        "/v1/workspaces",
        dependencies=[needs(Scope.WORKSPACES_WRITE)],
        status_code=201,
        openapi_extra=KEY_SCHEMA | body_schema(NewWorkspace),
    )
    async def create_workspace(request: Request) -> Response:
        """Create a workspace; its name is `[a-z0-9-]`, and 409 answers one that is taken."""
        sent = await read_bytes(request)
        body = parse_body(sent, NewWorkspace)

        async def make(note: Note) -> Answer:
            also = None if note is None else lambda connection, made: note(connection, created(asdict(made)))
            return created(asdict(await vault.add_workspace(body.name, also)))

        return await once(request, retries, Asked("", "POST /v1/workspaces", [sent]), make)

    @app.post("/v1/vault/rotate", dependencies=[needs(Scope.VAULT_ROTATE)])
    async def rotate(request: Request) -> JSONResponse:
        """Rotate the vault: every secret is encrypted anew under a new key; tells how many there were."""
        return JSONResponse({"rotated": await vault.rotate(who=caller_of(request).name)})


def _add_collection_routes(app: FastAPI, vault: Vault, retries: Retries | None) -> None:
    @app.get(SECRETS, dependencies=[needs(Scope.SECRETS_READ)])
    async def list_secrets(workspace: str, request: Request) -> JSONResponse:
        """List a workspace's secrets: names, types, descriptions and times, never a value."""
        workspace = await entered(request, vault, workspace)
        return JSONResponse({"secrets": [asdict(found) for found in await vault.entries(workspace)]})

    @app.post(
        SECRETS,
        dependencies=[needs(Scope.SECRETS_WRITE)],
        status_code=201,
        openapi_extra=KEY_SCHEMA | body_schema(NewSecret),
    )
    async def create_secret(workspace: str, request: Request) -> Response:
        """Create a secret; 409 answers a name that is taken.

        An answer that is given again by its `Idempotency-Key` is without the description, which is kept
        nowhere in clear.
        """
        workspace = await entered(request, vault, workspace)
        sent = await read_bytes(request)
        body = parse_body(sent, NewSecret)

        async def make(note: Note) -> Answer:
            also = None if note is None else lambda connection, made: note(connection, _kept(made))
            return created(asdict(await _put(workspace, body, request, must_be_new=True, also=also)))

        return await once(request, retries, Asked(workspace, f"POST {SECRETS}", [sent]), make)

    @app.put(SECRETS, dependencies=[needs(Scope.SECRETS_WRITE)], openapi_extra=body_schema(NewSecret))
    async def put_secret(workspace: str, request: Request) -> JSONResponse:
        """Create a secret, or replace its value where the name is taken.

        The answer comes once every running sandbox that has it uses the new value.
        """
        workspace = await entered(request, vault, workspace)
        body = await read_body(request, NewSecret)
        return JSONResponse(asdict(await _put(workspace, body, request, must_be_new=False)))

    async def _put(
        workspace: str,
        body: NewSecret,
        request: Request,
        *,
        must_be_new: bool,
        also: Callable[[Any, SecretEntry], None] | None = None,
    ) -> SecretEntry:
        put = await vault.put(
            workspace,
            body.name,
            Secret(body.value.get_secret_value()),
            who=caller_of(request).name,
            description=body.description,
            secret_type=body.secret_type,
            must_be_new=must_be_new,
            also=also,
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


def _kept(entry: SecretEntry) -> Answer:
    return created({**asdict(entry), "description": None})


def _add_secret_routes(app: FastAPI, vault: Vault) -> None:
    @app.patch(
        SECRETS + "/{ref}",
        dependencies=[needs(Scope.SECRETS_WRITE)],
        openapi_extra=body_schema(ChangedSecret),
    )
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
