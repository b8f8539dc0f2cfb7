"""The bodies of the secrets API: values come in as SecretStr.

The answers are the vault's own records (`vault.entry`), none of which has a field for a value.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from proxy.contract.secret_rules import MAX_SECRET_BYTES, SECRET_NAME, TOO_LONG
from runtime.api.json_body import parse_body, read_bounded
from runtime.errors import InvalidInputError
from runtime.vault.entry import MAX_DESCRIPTION_CHARS

MAX_BODY_BYTES = 6 * MAX_SECRET_BYTES + (16 << 10)
"""A value whose every byte is written as a JSON escape still fits."""
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION_CHARS)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class NewSecret(_Body):
    """POST creates, PUT creates or replaces."""

    name: str = Field(json_schema_extra={"pattern": f"^(?:{SECRET_NAME.pattern})$"})
    value: SecretStr = Field(json_schema_extra={"minLength": 1, "pattern": "^[^\\x00]*$"})
    secret_type: Literal["custom", "llm_key"] = "custom"  # noqa: S105 - a type, not a password
    description: Description | None = None


class ChangedSecret(_Body):
    """PATCH: what is left out stays; an empty description removes it."""

    value: SecretStr | None = Field(default=None, json_schema_extra={"minLength": 1})
    description: Description | None = None


class NewWorkspace(_Body):
    """The body of `POST /v1/workspaces`."""

    name: str = Field(json_schema_extra={"pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"})


async def read_body[B: BaseModel](request: Request, model: type[B]) -> B:
    """Parse the body. Raises InvalidInputError naming the field, never its value or an unknown name."""
    return parse_body(await read_bytes(request), model)


async def read_bytes(request: Request) -> bytes:
    """The body as it was sent. Raises InvalidInputError for one that is too long."""
    return await read_bounded(
        request,
        MAX_BODY_BYTES,
        lambda: InvalidInputError(f"value: {TOO_LONG.what}", hint=TOO_LONG.remedy),
    )
