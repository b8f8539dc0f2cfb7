"""The API's bodies: what crosses the unix socket between client and daemon."""

from __future__ import annotations

import dataclasses

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from runtime.errors import InvalidInputError
from runtime.model import Isolation, Limits, Run, RunRequest, Secret

MAX_TIMEOUT_S = 3600.0


class CreateRun(BaseModel):
    """The `request` part of `POST /v1/runs`; files come beside it as `bundle` and `upload` parts."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    agent_ref: str = Field(min_length=1, max_length=200)
    image: str = Field(min_length=1, max_length=300)
    argv: list[str] = Field(min_length=1, max_length=64)
    setup_argv: list[str] | None = None
    input: str
    """The agent's stdin."""
    policy: str = Field(default="llm-only", pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    isolation: Isolation = Isolation.RUNC
    timeout_s: float = Field(default=300.0, gt=0, le=MAX_TIMEOUT_S)
    env: dict[str, str] = {}
    secrets: dict[str, SecretStr] = {}


def read_create_run(body: str) -> CreateRun:
    """Parse the part. Raises InvalidInputError naming the field, never its value."""
    try:
        return CreateRun.model_validate_json(body)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"][:1]) or "request"
        raise InvalidInputError(f"request: {field}: {first['msg']}", hint=f"correct {field}") from None


def to_run_request(body: CreateRun, bundle: bytes, uploads: dict[str, bytes]) -> RunRequest:
    """The body as the service takes it."""
    return RunRequest(
        agent_ref=body.agent_ref,
        image=body.image,
        argv=tuple(body.argv),
        setup_argv=tuple(body.setup_argv) if body.setup_argv else None,
        bundle=bundle,
        input=body.input.encode(),
        policy_name=body.policy,
        isolation=body.isolation,
        limits=Limits(timeout_s=body.timeout_s),
        env=body.env,
        secrets={name: Secret(value.get_secret_value()) for name, value in body.secrets.items()},
        uploads=uploads,
    )


def run_to_json(run: Run) -> dict[str, object]:
    """A run as the API shows it."""
    return dataclasses.asdict(run)
