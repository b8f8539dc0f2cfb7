"""`Idempotency-Key` on a route that makes something: made once, however often it is asked for."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fastapi import Request
from starlette.responses import Response

from runtime.access.caller import caller_of
from runtime.ascii_json import AsciiJson
from runtime.errors import InFlightError, InvalidInputError
from runtime.idempotency.service import Answer, Place, Retries, TakenError

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

type Note = Callable[[Any, Answer], None] | None
"""To be called in the transaction that makes what was asked for; None where no key was sent."""

PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": (
        "Of your own choice, and new for each new request (a UUID). One that is sent again with the same key"
        " and body within 24 hours makes nothing, and has the answer of the first, with a header"
        " `Idempotency-Replayed: true`. With another body it is 422; while the first is being worked on, 409"
        " with `Retry-After`."
    ),
}


KEY_SCHEMA: dict[str, Any] = {"parameters": [PARAMETER]}
"""What FastAPI cannot tell of a route that calls `once`."""


def created(shown: Mapping[str, object]) -> Answer:
    """201 with this JSON."""
    return Answer(201, AsciiJson(shown).render(shown).decode("ascii"))


class Asked(NamedTuple):
    """A request to make something, as far as its repetition is to be known by it."""

    workspace: str
    """Where it is made; empty for what belongs to no workspace."""
    route: str
    body: Sequence[bytes]


async def once(
    request: Request, retries: Retries | None, asked: Asked, make: Callable[[Note], Awaitable[Answer]]
) -> Response:
    """Make it, or answer as before.

    `make` notes what is to be answered from then on, which may be less than what it returns: a text that is
    told once is not kept.
    """
    key = _key_of(request)
    if key is None:
        return _response(await make(None))
    if retries is None:
        raise InvalidInputError(f"{HEADER}: no key is taken here", param=HEADER)
    place = Place(asked.workspace, caller_of(request).name, asked.route, key)
    begun = await retries.begin(place, asked.body)
    if isinstance(begun, Answer):
        return _response(begun, is_replayed=True)
    try:
        return _response(await make(begun.record))
    except TakenError:
        pass
    finally:
        begun.leave()
    again = await retries.begin(place, asked.body)  # at another daemon: its answer is there by now
    if isinstance(again, Answer):
        return _response(again, is_replayed=True)
    again.leave()
    raise InFlightError("a request with this Idempotency-Key was worked on elsewhere")


def _key_of(request: Request) -> str | None:
    """Raises InvalidInputError, which does not repeat what was sent."""
    shown = request.headers.getlist(HEADER)
    if not shown:
        return None
    if len(shown) > 1 or not _KEY.fullmatch(shown[0]):
        raise InvalidInputError(
            f"{HEADER}: expected one key", hint="1 to 255 visible characters of ASCII", param=HEADER
        )
    return shown[0]


def _response(answer: Answer, *, is_replayed: bool = False) -> Response:
    headers = {} if answer.location is None else {"Location": answer.location}
    if is_replayed:
        headers[REPLAYED] = "true"
    return Response(answer.response, answer.status, headers, "application/json")
