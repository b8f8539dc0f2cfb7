"""`/v1/tokens`: make, list, rotate and revoke tokens, and `/v1/whoami`."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from runtime.access.caller import caller_of
from runtime.access.scopes import Scope
from runtime.access.service import Tokens
from runtime.api.gate import needs
from runtime.api.idempotency import KEY_SCHEMA, Asked, Note, created, once
from runtime.api.json_body import body_schema, parse_body
from runtime.api.recorded import record
from runtime.api.secret_body import read_body, read_bytes
from runtime.api.secrets import entered
from runtime.api.token_body import NewToken, Rotation, token_to_json
from runtime.ascii_json import AsciiJson
from runtime.idempotency.service import Answer, Retries
from runtime.vault.service import Vault


def add_token_routes(app: FastAPI, tokens: Tokens, vault: Vault, retries: Retries | None) -> None:
    """Add the routes; the vault knows the workspaces."""

    @app.post(
        "/v1/tokens",
        dependencies=[needs(Scope.TOKENS_WRITE)],
        status_code=201,
        openapi_extra=KEY_SCHEMA | body_schema(NewToken),
    )
    async def create_token(request: Request) -> Response:
        """Create a token. This answer is the only one that has its text.

        One that is given again by its `Idempotency-Key` is without it: rotate the token to get a new text.
        """
        sent = await read_bytes(request)
        body = parse_body(sent, NewToken)
        workspace = None if body.workspace is None else await entered(request, vault, body.workspace)

        async def make(note: Note) -> Answer:
            entry, text = await tokens.create(
                body.name,
                body.role,
                workspace=workspace,
                expires_in_s=body.expires_in_s,
                who=caller_of(request).name,
                also=None if note is None else lambda c, made: note(c, created(token_to_json(made))),
            )
            good_for = {"token_workspace": workspace, "expires_at": entry.expires_at}
            record(request, token=entry.id, role=entry.role.value, **good_for)
            return created(token_to_json(entry, text))

        return await once(request, retries, Asked(workspace or "", "POST /v1/tokens", [sent]), make)

    @app.get("/v1/tokens", dependencies=[needs(Scope.TOKENS_READ)])
    async def list_tokens() -> JSONResponse:
        """List all tokens, the oldest first: names, roles and times, never a text."""
        return AsciiJson({"tokens": [token_to_json(entry) for entry in await tokens.entries()]})

    @app.post(
        "/v1/tokens/{token_id}/rotate",
        dependencies=[needs(Scope.TOKENS_WRITE)],
        openapi_extra=body_schema(Rotation),
    )
    async def rotate_token(token_id: str, request: Request) -> JSONResponse:
        """Give a token another secret. The one that it has is taken for `grace_s` seconds more."""
        body = await read_body(request, Rotation)
        return AsciiJson(token_to_json(*await tokens.rotate(token_id, grace_s=body.grace_s)))

    @app.delete("/v1/tokens/{token_id}", dependencies=[needs(Scope.TOKENS_WRITE)])
    async def revoke_token(token_id: str) -> JSONResponse:
        """Revoke a token: the next request with it is refused."""
        return AsciiJson(token_to_json(await tokens.revoke(token_id)))

    @app.get("/v1/whoami", dependencies=[needs(Scope.HEALTH_READ)])
    async def whoami(request: Request) -> JSONResponse:
        """Tell who calls, and what they may do."""
        caller = caller_of(request)
        scopes = sorted(scope for scope in Scope if caller.may(scope))
        return AsciiJson(
            {"caller": caller.name, "role": caller.role, "workspace": caller.workspace, "scopes": scopes}
        )
