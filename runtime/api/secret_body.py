"""The bodies of the secrets API: values come in as SecretStr, and no answer has a field for one."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from runtime.errors import InvalidInputError
from runtime.vault.entry import MAX_DESCRIPTION_CHARS, MAX_VALUE_BYTES, AuditLine, SecretEntry, Workspace

MAX_BODY_BYTES = 6 * MAX_VALUE_BYTES + (16 << 10)
"""A value whose every byte is written as a JSON escape still fits."""
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION_CHARS)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class NewSecret(_Body):
    """POST creates, PUT creates or replaces."""

    name: str
    value: SecretStr
    secret_type: Literal["custom", "llm_key"] = "custom"  # noqa: S105 - a type, not a password
    description: Description | None = None


class ChangedSecret(_Body):
    """PATCH: what is left out stays; an empty description removes it."""

    value: SecretStr | None = None
    description: Description | None = None


class NewWorkspace(_Body):
    """POST of a workspace."""

    name: str


async def read_body[B: BaseModel](request: Request, model: type[B]) -> B:
    """Parse the body. Raises InvalidInputError naming the field, never its value or an unknown name."""
    try:
        return model.model_validate_json(await _bounded(request))
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False, include_context=False)[0]
        is_ours = first["loc"] and first["loc"][0] in model.model_fields
        field = str(first["loc"][0]) if is_ours else "body"
        # A message about the JSON itself may quote it, and one about an unknown field is all that is left.
        what = first["msg"] if is_ours else "expected a JSON object of " + ", ".join(model.model_fields)
        raise InvalidInputError(f"{field}: {what}", hint=f"correct {field}") from None


async def _bounded(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise InvalidInputError("value: more than 64 KiB", hint="keep only the key itself")
    return bytes(body)


def secret_to_json(entry: SecretEntry) -> dict[str, object]:
    """As the API shows it."""
    return dataclasses.asdict(entry)


def workspace_to_json(workspace: Workspace) -> dict[str, object]:
    """As the API shows it."""
    return dataclasses.asdict(workspace)


def audit_to_json(line: AuditLine) -> dict[str, object]:
    """As the API shows it."""
    return dataclasses.asdict(line)
