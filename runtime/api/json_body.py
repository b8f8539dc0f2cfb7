"""Reading a JSON body into its model: the one place that words what is wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ValidationError

from runtime.errors import InvalidInputError, OrchError


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """What FastAPI cannot tell of a route that reads its body itself: its `openapi_extra`."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)  # `description` gathers them
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def read_bounded(request: Request, most: int, too_long: Callable[[], OrchError]) -> bytes:
    """The body as it was sent. Raises what `too_long` makes for one of more than `most` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise too_long()
    return bytes(body)


def parse_body[B: BaseModel](content: bytes | str, model: type[B], *, part: str | None = None) -> B:
    """The body as its model has it; `part` is its name where it is one part of a form.

    Raises InvalidInputError naming the field, and never a value or the name of an unknown field.
    """
    try:
        return model.model_validate_json(content)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False, include_context=False)[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    if field in model.model_fields:
        where = f"{part}: {field}" if part else field
        raise InvalidInputError(f"{where}: {first['msg']}", hint=f"correct {field}", param=field)
    # What is left is an unknown field's name or a message about the JSON, which may quote what was sent.
    whole = part or "body"
    fields = ", ".join(model.model_fields)
    raise InvalidInputError(
        f"{whole}: expected a JSON object of {fields}", hint=f"correct {whole}", param=part
    )
