"""`orchagent.json` (docs.orchagent.io/building-agents/manifest-format), read strictly.

A field that the platform does not know is refused, so that a misspelt `required_secrets` is an error and
not an agent without its secrets. Fields that this version does not act on are accepted.
"""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from proxy.contract.secret_rules import is_secret_name
from runtime.errors import InvalidInputError, NotFoundError
from runtime.model.llm_providers import (
    ANY,
    MAX_MODEL_CHARS,
    PROVIDERS,
    check_provider,
    check_supported,
    known_model,
)
from runtime.model.needs import LlmChain, Needs
from runtime.plain_file import read_text

MANIFEST = "orchagent.json"
MAX_TIMEOUT_S = 900
MAX_MODELS = 8
"""Of an `llm` section, its primary among them."""
SERVICE_KEY = "ORCHAGENT_SERVICE_KEY"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class RuntimeSection(_Strict):
    """How the agent is started where no entry file says it."""

    command: str = Field(min_length=1)


class BundleSection(_Strict):
    """What is packed; `include` wins over `exclude` and over what is left out anyway."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @field_validator("include", "exclude", mode="before")
    @classmethod
    def _globs(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


def _model_entry(value: str) -> str:
    known_model(value)
    return value


Provider = Annotated[str, AfterValidator(check_provider), Field(json_schema_extra={"enum": [*PROVIDERS]})]
SupportedProvider = Annotated[
    str, AfterValidator(check_supported), Field(json_schema_extra={"enum": [*PROVIDERS, ANY]})
]
ModelEntry = Annotated[str, Field(max_length=MAX_MODEL_CHARS), AfterValidator(_model_entry)]


class LlmSection(_Strict):
    """The author's models: the primary, then what is tried where it cannot be had."""

    primary: ModelEntry
    fallbacks: list[ModelEntry] = Field(default=[], max_length=MAX_MODELS - 1)

    @model_validator(mode="after")
    def _are_different(self) -> LlmSection:
        entries = [known_model(entry) for entry in (self.primary, *self.fallbacks)]
        if len(set(entries)) != len(entries):
            raise ValueError("names a model twice")
        return self

    def chain(self) -> LlmChain:
        """As the rest of the runtime has it."""
        return LlmChain(self.primary, tuple(self.fallbacks))


class Manifest(_Strict):
    """An agent's manifest; what stands below the line is accepted and not acted on."""

    name: str
    type: Literal["tool", "code", "prompt", "agent", "agentic", "skill"] = "prompt"
    description: str = ""
    supported_providers: list[SupportedProvider] = []
    run_mode: Literal["on_demand", "always_on"] = "on_demand"
    entrypoint: str | None = Field(default=None, min_length=1)
    runtime: RuntimeSection | None = None
    loop: dict[str, Any] | None = None
    timeout_seconds: float | None = Field(default=None, ge=1, le=MAX_TIMEOUT_S, allow_inf_nan=False)
    required_secrets: list[str] = []
    optional_secrets: list[str] = []
    default_models: dict[str, str] = {}
    llm: LlmSection | None = None
    bundle: BundleSection = BundleSection()
    # -- not acted on in this version ----------------------------------------------------------
    schema_: Any = Field(default=None, alias="$schema")
    callable: Any = None
    custom_tools: Any = None
    default_endpoint: Any = None
    default_skills: Any = None
    input_schema: Any = None
    is_public: Any = None
    llm_config: Any = None
    manifest: Any = None
    max_turns: Any = None
    model: Any = None
    model_tasks: Any = None
    output_schema: Any = None
    pip_package: Any = None
    prompt: Any = None
    prompt_template: Any = None
    run_command: Any = None
    skills_locked: Any = None
    source_url: Any = None
    tags: Any = None

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not re.fullmatch(r"(?=.{2,50}$)[a-z0-9]+(-[a-z0-9]+)*", value):
            raise ValueError("2 to 50 lowercase letters, digits and single hyphens")
        return value

    @field_validator("required_secrets", "optional_secrets")
    @classmethod
    def _secret_names(cls, value: list[str]) -> list[str]:
        for number, name in enumerate(value, 1):
            if not is_secret_name(name):  # not repeated here: it may be a key put in the wrong place
                raise ValueError(f"entry {number} is no secret name (letters A-Z, digits, underscores)")
            if name == SERVICE_KEY:
                raise ValueError(f"{SERVICE_KEY} is given by the gateway, never by the caller: remove it")
        return value


def read_manifest(folder: Path) -> Manifest:
    """Read and check a directory's manifest, of whatever type.

    Raises NotFoundError without one, InvalidInputError naming file, field and remedy.
    """
    path = folder / MANIFEST
    data = _read(path)
    try:
        return Manifest.model_validate(data)
    except ValidationError as exc:
        raise _explain(path, exc.errors(include_input=False, include_url=False)[0]) from None


def load_manifest(folder: Path) -> Manifest:
    """As `read_manifest`. Raises InvalidInputError too for what this version does not run."""
    manifest = read_manifest(folder)
    _refuse_what_is_not_run(folder / MANIFEST, manifest)
    return manifest


def needs_of(manifest: Manifest, *, provider: str | None = None, model: str | None = None) -> Needs:
    """What the manifest names, with the caller's choice of provider and model."""
    return Needs(
        required=tuple(manifest.required_secrets),
        optional=tuple(manifest.optional_secrets),
        providers=tuple(manifest.supported_providers),
        provider=provider,
        model=model,
        default_models=manifest.default_models,
        llm=manifest.llm.chain() if manifest.llm else None,
    )


def _read(path: Path) -> object:
    text = read_text(path, remedy="make it a file you may read")
    if text is None:
        raise NotFoundError(f"{path.parent} holds no {MANIFEST}", hint=f"add {MANIFEST} with name and type")
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        raise InvalidInputError(
            f"{path}:{exc.lineno}: not JSON: {exc.msg}", hint="correct the line named"
        ) from None
    except (RecursionError, ValueError):
        raise InvalidInputError(f"{path}: not JSON that can be read", hint="simplify it") from None


def _explain(path: Path, error: ErrorDetails) -> InvalidInputError:
    field = ".".join(str(part) for part in error["loc"]) or "the document"
    if error["type"] == "extra_forbidden":
        known = [info.alias or name for name, info in Manifest.model_fields.items()]
        near = difflib.get_close_matches(field, known, n=1) if "." not in field else []
        hint = f"did you mean {near[0]}?" if near else f"remove {field}"
        return InvalidInputError(f"{path}: {field}: no field of {MANIFEST}", hint=hint)
    return InvalidInputError(f"{path}: {field}: {error['msg']}", hint=f"correct {field} in {path}")


def _refuse_what_is_not_run(path: Path, manifest: Manifest) -> None:
    if manifest.type not in {"tool", "code"}:
        raise InvalidInputError(
            f"{path}: type: agents of type {manifest.type} are not run by this version",
            hint='only "type": "tool" (an entry file or runtime.command) is run',
        )
    if manifest.run_mode != "on_demand":
        raise InvalidInputError(
            f"{path}: run_mode: {manifest.run_mode} services are not run by this version",
            hint='only "run_mode": "on_demand" is run',
        )
    if manifest.loop is not None:
        raise InvalidInputError(
            f"{path}: loop: managed loops are not run by this version", hint="remove loop from a tool"
        )
