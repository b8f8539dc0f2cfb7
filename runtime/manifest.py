"""`orchagent.json` (docs.orchagent.io/building-agents/manifest-format) and what it makes of a directory.

Only type `tool` runs here: an entry file that reads JSON on stdin and prints JSON.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from runtime.errors import InvalidInputError, NotFoundError

MANIFEST = "orchagent.json"
SECRET_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
PYTHON_ENTRIES = ("main.py", "app.py", "agent.py", "run.py", "__main__.py")
NODE_ENTRIES = ("main.js", "index.js", "agent.js", "main.mjs", "index.mjs")
"""In the platform's order of detection; TypeScript needs a build step, so it is not run as it is."""
MAX_TIMEOUT_S = 900


class RuntimeSection(BaseModel):
    """How the agent is started where no entry file says it."""

    model_config = ConfigDict(extra="forbid")
    command: str = Field(min_length=1)


class Manifest(BaseModel):
    """The fields this version acts on; other fields of the platform are kept and ignored."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    name: str
    type: Literal["tool", "code", "prompt", "agent", "agentic", "skill"] = "prompt"
    description: str = ""
    supported_providers: list[Literal["openai", "anthropic", "gemini", "any", "ollama"]] = []
    entrypoint: str | None = None
    runtime: RuntimeSection | None = None
    timeout_seconds: int | None = Field(default=None, ge=1, le=MAX_TIMEOUT_S)
    required_secrets: list[str] = []
    optional_secrets: list[str] = []
    default_models: dict[str, str] = {}

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not re.fullmatch(r"(?=.{2,50}$)[a-z0-9]+(-[a-z0-9]+)*", value):
            raise ValueError("2 to 50 lowercase letters, digits and single hyphens")
        return value

    @field_validator("required_secrets", "optional_secrets")
    @classmethod
    def _secret_names(cls, value: list[str]) -> list[str]:
        for name in value:
            if not SECRET_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no secret name (letters A-Z, digits, underscores)")
        return value


class Launch(NamedTuple):
    """What to start in which image."""

    image: Literal["agent-python", "agent-node"]
    argv: tuple[str, ...]
    setup_argv: tuple[str, ...] | None


def load_manifest(folder: Path) -> Manifest:
    """Read and check a directory's manifest.

    Raises NotFoundError without one, InvalidInputError naming file, field and remedy.
    """
    path = folder / MANIFEST
    try:
        data: Any = json.loads(path.read_text())
    except FileNotFoundError:
        raise NotFoundError(
            f"{folder} holds no {MANIFEST}", hint=f"add {MANIFEST} with name and type"
        ) from None
    except UnicodeDecodeError:
        raise InvalidInputError(f"{path}: not UTF-8 text", hint="save the file as UTF-8") from None
    except json.JSONDecodeError as exc:
        raise InvalidInputError(
            f"{path}:{exc.lineno}: not JSON: {exc.msg}", hint="correct the line named"
        ) from None
    try:
        manifest = Manifest.model_validate(data)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise InvalidInputError(
            f"{path}: {field}: {first['msg']}", hint=f"correct {field} in {path}"
        ) from None
    if manifest.type not in {"tool", "code"}:
        raise InvalidInputError(
            f"{path}: type: agents of type {manifest.type} are not run by this version",
            hint='only "type": "tool" (an entry file or runtime.command) is run',
        )
    return manifest


def launch_of(folder: Path, manifest: Manifest) -> Launch:
    """The image and commands of a directory. Raises InvalidInputError where there is nothing to start."""
    if manifest.runtime is not None:
        image: Literal["agent-python", "agent-node"] = "agent-python"
        if not (folder / "requirements.txt").exists() and (folder / "package.json").exists():
            image = "agent-node"
        return Launch(image, ("/bin/sh", "-c", manifest.runtime.command), _setup(folder, image))
    entry = manifest.entrypoint or _detect(folder)
    path = (folder / entry).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise InvalidInputError(
            f"{folder / MANIFEST}: entrypoint: {entry} is no file of this agent", hint="name an existing file"
        )
    match path.suffix:
        case ".py":
            return Launch("agent-python", ("python3", entry), _setup(folder, "agent-python"))
        case ".js" | ".mjs" | ".cjs":
            return Launch("agent-node", ("node", entry), _setup(folder, "agent-node"))
        case suffix:
            raise InvalidInputError(
                f"{folder / MANIFEST}: entrypoint: {suffix or 'a file without ending'} is not run",
                hint="use a .py, .js, .mjs or .cjs file, or runtime.command",
            )


def _detect(folder: Path) -> str:
    for name in (*PYTHON_ENTRIES, *NODE_ENTRIES):
        if (folder / name).is_file():
            return name
    raise InvalidInputError(
        f"{folder}: nothing to start: none of {', '.join((*PYTHON_ENTRIES, *NODE_ENTRIES))}",
        hint=f"add one, or set entrypoint or runtime.command in {MANIFEST}",
    )


def _setup(folder: Path, image: str) -> tuple[str, ...] | None:
    """The platform's set-up: pip for requirements.txt, npm for package.json."""
    if image == "agent-python" and (folder / "requirements.txt").is_file():
        return ("python3", "-m", "pip", "install", "--quiet", "-r", "requirements.txt")
    if image == "agent-node" and (folder / "package.json").is_file():
        return ("npm", "ci" if (folder / "package-lock.json").is_file() else "install", "--no-progress")
    return None
