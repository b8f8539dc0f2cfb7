"""The body of a run's request, as the daemon reads it (`run_json.py` writes it, and all that is answered)."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from proxy.contract.secret_rules import is_secret_name
from runtime.api.json_body import parse_body
from runtime.api.needs_body import NeedsBody
from runtime.errors import InvalidInputError
from runtime.keys.llm_credentials import apply_credentials, take_credentials
from runtime.model.limits import Isolation, Limits
from runtime.model.needs import Needs
from runtime.model.run import DEFAULT_WORKSPACE, RunRequest
from runtime.model.run_labels import fault_of
from runtime.model.secret import Secret

MAX_TIMEOUT_S = 3600.0
MAX_INPUT_CHARS = 16 << 20
MAX_UPLOADS = 100
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_FILE_NAME = re.compile(r"[^/\0-\x1f\x7f]{1,255}")


class CreateRun(BaseModel):
    """The `request` part of `POST /v1/runs`; files come beside it as `bundle` and `upload` parts."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    agent_ref: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")
    image: str = Field(min_length=1, max_length=300)
    argv: list[str] = Field(min_length=1, max_length=64)
    setup_argv: list[str] | None = Field(default=None, min_length=1, max_length=64)
    input: str = Field(max_length=MAX_INPUT_CHARS, repr=False)
    """The agent's stdin."""
    policy: str = Field(default="llm-only", pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    isolation: Isolation = Isolation.RUNC
    timeout_s: float = Field(default=300.0, gt=0, le=MAX_TIMEOUT_S)
    env: dict[str, str] = {}
    secrets: dict[str, SecretStr] = {}
    """What the caller has of what the agent needs; the workspace's vault has the rest."""
    needs: NeedsBody | None = None
    workspace: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    """Its name or id; without one, the caller's own."""
    labels: dict[str, str] = {}
    """What the caller finds the run by."""

    @field_validator("argv", "setup_argv")
    @classmethod
    def _arguments(cls, value: list[str] | None) -> list[str] | None:
        if any("\0" in argument for argument in value or ()):
            raise ValueError("an argument holds a NUL")
        return value

    @field_validator("env")
    @classmethod
    def _variables(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not _VARIABLE.fullmatch(name) or "\0" in text:
                raise ValueError("letters, digits and underscores in names, no NUL in values")
        return value

    @field_validator("labels")
    @classmethod
    def _labels(cls, value: dict[str, str]) -> dict[str, str]:
        if (fault := fault_of(value)) is not None:
            raise ValueError(fault)
        return value

    @field_validator("secrets")
    @classmethod
    def _secrets(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in value.items():
            if not is_secret_name(name) or "\0" in secret.get_secret_value():
                raise ValueError("letters A-Z, digits and underscores in names, no NUL in values")
        return value


def read_create_run(body: str) -> CreateRun:
    """Parse the part. Raises InvalidInputError naming the field, never its value."""
    return parse_body(body, CreateRun, part="request")


def check_uploads(names: list[str]) -> None:
    """Refuse names that are no plain file names. Raises InvalidInputError."""
    if len(names) > MAX_UPLOADS:
        raise InvalidInputError(f"upload: more than {MAX_UPLOADS} files", hint="send an archive")
    for number, name in enumerate(names, 1):
        is_plain = _FILE_NAME.fullmatch(name) and name not in {".", ".."} and len(name.encode()) <= 255
        if not is_plain:
            raise InvalidInputError(f"upload: file {number} has no plain name", hint="rename it")
    if len(set(names)) != len(names):
        raise InvalidInputError("upload: two files have the same name", hint="rename one")


def to_run_request(
    body: CreateRun, bundle: bytes, uploads: dict[str, bytes], *, workspace: str | None = None
) -> RunRequest:
    """The body as the service takes it. Raises InvalidInputError for malformed `llm_credentials`."""
    document, credentials = take_credentials(body.input)
    secrets = {name: Secret(value.get_secret_value()) for name, value in body.secrets.items()}
    needs = body.needs.to_needs() if body.needs else Needs()
    needs, secrets = apply_credentials(credentials, needs, secrets)
    return RunRequest(
        agent_ref=body.agent_ref,
        image=body.image,
        argv=tuple(body.argv),
        setup_argv=tuple(body.setup_argv) if body.setup_argv else None,
        bundle=bundle,
        input=document.encode(),
        policy_name=body.policy,
        isolation=body.isolation,
        limits=Limits(timeout_s=body.timeout_s),
        env=body.env,
        secrets=secrets,
        uploads=uploads,
        needs=needs,
        workspace=workspace or body.workspace or DEFAULT_WORKSPACE,
        labels=body.labels,
    )
