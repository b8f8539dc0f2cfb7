"""The bodies of the tokens API, and a token as it is shown: its text once, to whoever made it."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import BaseModel, ConfigDict, Field

from runtime.access.scopes import ROLES, Role
from runtime.access.service import TokenEntry
from runtime.model.secret import Secret

MAX_SECONDS = 100 * 366 * 86_400.0


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class NewToken(_Body):
    """The body of `POST /v1/tokens`."""

    name: str = Field(min_length=1, max_length=100, json_schema_extra={"pattern": "^[ -~]+$"})
    """For people: whose it is, or what for."""
    role: Role
    workspace: str | None = Field(default=None, max_length=64)
    """The only one that it sees, by name or id; without one, it sees all."""
    expires_in_s: float | None = Field(default=None, gt=0, le=MAX_SECONDS)
    """Without it, the token is valid until it is revoked."""


class Rotation(_Body):
    """The body of `POST /v1/tokens/{id}/rotate`."""

    grace_s: float = Field(default=0.0, ge=0, le=MAX_SECONDS)
    """How long the secret that the token has now is taken beside the new one."""


def token_to_json(entry: TokenEntry, text: Secret | None = None) -> dict[str, object]:
    """A token; with its text where it has just been made."""
    shown: dict[str, object] = {**asdict(entry), "scopes": sorted(ROLES[entry.role])}
    return shown if text is None else {**shown, "token": text.reveal()}
