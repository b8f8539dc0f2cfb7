"""What may be in a vault, and what of it may be shown: names, values, workspaces. Pure."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from proxy.contract.secret_rules import is_secret_name, value_problem
from runtime.errors import InvalidInputError
from runtime.model.llm_providers import PROVIDER_OF_KEY
from runtime.model.secret import Secret

MAX_DESCRIPTION_CHARS = 500
TYPES = ("custom", "llm_key")
_WORKSPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace: secrets belong to one, and runs read from one."""

    id: str
    name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class SecretEntry:
    """A secret as everybody may see it; times are epoch seconds."""

    id: str
    name: str
    secret_type: str
    provider: str | None
    """Of an LLM key, by its name."""
    description: str | None
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One thing that was done with a secret."""

    at: float
    who: str
    """`uid:N` of the caller on the unix socket, or the reader a run was started by."""
    action: str
    """`set`, `delete`, `read` or `rotate`."""
    name: str | None
    run_id: str | None


def provider_of_name(name: str) -> str | None:
    """The LLM provider whose key has this name."""
    return PROVIDER_OF_KEY.get(name)


def check_name(name: str) -> None:
    """Raises InvalidInputError, which does not repeat the name: it may be a value in the wrong place."""
    if not is_secret_name(name):
        raise InvalidInputError(
            "name: a secret's name is 1 to 128 of A-Z, 0-9 and _, and begins with a letter",
            hint="as in MY_API_KEY",
        )


def check_value(value: Secret) -> None:
    """Raises InvalidInputError, without the value."""
    problem = value_problem(value.reveal())
    if problem is not None:
        raise InvalidInputError(f"value: {problem.what}", hint=problem.remedy)


def check_description(text: str | None) -> None:
    """Refuse a description that is too long or no text. Raises InvalidInputError."""
    if text is not None and (len(text) > MAX_DESCRIPTION_CHARS or not text.isprintable()):
        raise InvalidInputError(
            f"description: at most {MAX_DESCRIPTION_CHARS} printable characters", hint="shorten it"
        )


def check_type(secret_type: str) -> None:
    """Refuse a type of secret that there is not. Raises InvalidInputError."""
    if secret_type not in TYPES:
        raise InvalidInputError("secret_type: expected custom or llm_key", hint="leave it out")


def check_workspace_name(name: str) -> None:
    """A name is never the form of an id, so that either finds one workspace. Raises InvalidInputError."""
    if not _WORKSPACE.fullmatch(name) or _is_id(name):
        raise InvalidInputError(
            "name: a workspace's name is 1 to 63 of a-z, 0-9 and -, with - inside only", hint="as in my-team"
        )


def _is_id(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
