"""`/v1/policies/{name}/explain`: what the proxy would do with a request, for whoever starts runs.

Who may not have names looked up learns what the policy says, and nothing of the network (docs/adr/0015).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from proxy.destination.resolve import Lookup
from runtime.access.caller import caller_of
from runtime.access.scopes import Scope
from runtime.api.gate import needs
from runtime.api.json_body import parse_body, read_bounded
from runtime.ascii_json import AsciiJson
from runtime.errors import InvalidInputError, RateLimitedError, TooLargeError
from runtime.explain.addresses import no_lookup
from runtime.explain.document import explain
from runtime.explain.sandbox import MAX_SECRETS, Question
from runtime.policies.places import LoadedPolicy

MAX_AT_A_TIME = 4
"""Explanations under way for all callers together: each reads the policy's files and searches a body."""
MAX_BODY_CHARS = 256 << 10
MAX_REQUEST_BYTES = 1 << 20
NAME = r"^[a-z0-9][a-z0-9-]{0,63}$"

LoadPolicy = Callable[[str], LoadedPolicy]
Text = Annotated[str, Field(max_length=16 << 10)]


class AskedRequest(BaseModel):
    """The body of `POST /v1/policies/{name}/explain`."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    url: Text
    method: str = Field(default="GET", max_length=64)
    headers: list[tuple[Text, Text]] = Field(default=[], max_length=500)
    """Names and values, in order."""
    body: str = Field(default="", max_length=MAX_BODY_CHARS, repr=False)
    """In base64."""
    secrets: list[Annotated[str, Field(max_length=200)]] = Field(default=[], max_length=MAX_SECRETS)
    """Names of what the sandbox holds, beside those that the request has as `${NAME}`."""
    llm: bool = False
    """Whether the agent's manifest asks for the LLM router."""
    resolve: bool = False
    """Whether the host's name is looked up: needs `policies:resolve`."""

    def question(self) -> Question:
        """As the explaining part takes it. Raises InvalidInputError for a body that is no base64."""
        try:
            body = base64.b64decode(self.body, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInputError("body: not base64", hint="correct body") from None
        return Question(
            url=self.url,
            method=self.method,
            headers=tuple(self.headers),
            body=body,
            secrets=tuple(self.secrets),
            has_llm=self.llm,
        )


BODY_SCHEMA = {
    "required": True,
    "content": {"application/json": {"schema": AskedRequest.model_json_schema()}},
}
"""What FastAPI cannot tell from a route that reads its body itself."""


def add_policy_routes(app: FastAPI, load: LoadPolicy, make_lookup: Callable[[], Lookup]) -> None:
    """Add the route; a lookup is made for each request whose caller may have names looked up."""
    under_way = asyncio.Semaphore(MAX_AT_A_TIME)

    @app.post(
        "/v1/policies/{name}/explain",
        dependencies=[needs(Scope.POLICIES_EXPLAIN)],
        openapi_extra={"requestBody": BODY_SCHEMA},
    )
    async def explain_policy(name: Annotated[str, Path(pattern=NAME)], request: Request) -> JSONResponse:
        """Explain what the proxy would do with one request of a sandbox under this policy.

        The answer holds names of secrets and never a value. With `resolve` the host's name is looked up:
        this needs the scope `policies:resolve`, and without it no address of the operator's is told.
        """
        asked = parse_body(await _bounded(request), AskedRequest)
        caller = caller_of(request)
        if asked.resolve:
            caller.require(Scope.POLICIES_RESOLVE)
        question = asked.question()
        if under_way.locked():
            raise RateLimitedError("too many explanations are under way", retry_after_s=1)
        async with under_way:
            document = await asyncio.to_thread(
                _explain,
                load,
                name,
                question,
                lookup=make_lookup() if asked.resolve else no_lookup,
                is_for_operator=caller.may(Scope.POLICIES_RESOLVE),
            )
        return AsciiJson(document)


async def _bounded(request: Request) -> bytes:
    return await read_bounded(
        request, MAX_REQUEST_BYTES, lambda: TooLargeError("the body is more than 1 MiB", hint="send less")
    )


def _explain(
    load: LoadPolicy, name: str, question: Question, *, lookup: Lookup, is_for_operator: bool
) -> dict[str, Any]:
    """In a thread with a loop of its own: neither files nor a search hold up the daemon."""
    return asyncio.run(explain(load(name), question, lookup=lookup, is_for_operator=is_for_operator))
