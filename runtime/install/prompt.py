"""An agent that is a prompt: what `orch install` exports of its directory. No key and no engine is needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.agents.manifest import MANIFEST, Manifest, read_manifest
from runtime.errors import InvalidInputError
from runtime.plain_file import read_text

PROMPT = "prompt.md"
SCHEMA = "schema.json"
MARKERS = ("<!-- orchagent:", "<!-- /orchagent:")


@dataclass(frozen=True, slots=True)
class PromptAgent:
    """Text for another tool to act by."""

    name: str
    description: str
    prompt: str
    input_schema: object | None
    output_schema: object | None
    default_models: Mapping[str, str]
    has_skills: bool = False
    """Whether `default_skills` names some, which only a registry could resolve."""

    @property
    def reference(self) -> str:
        """`org/name`; a directory has no org."""
        return f"local/{self.name}"


def load_prompt_agent(folder: Path) -> PromptAgent:
    """Read `orchagent.json`, `prompt.md` and `schema.json`.

    Raises NotFoundError without a manifest, InvalidInputError for what is no prompt, with the reason.
    """
    manifest = read_manifest(folder)
    _refuse_code(folder, manifest)
    prompt = _read(folder / PROMPT)
    if prompt is None or not prompt.strip():
        raise InvalidInputError(f"{folder / PROMPT}: no prompt to install", hint=f"write it into {PROMPT}")
    schemas = _schemas(folder, manifest)
    if any(marker in f"{prompt}{json.dumps(schemas)}" for marker in MARKERS):
        raise InvalidInputError(
            f"{folder / PROMPT}: holds an orchagent marker, which would break a merged AGENTS.md",
            hint="remove the <!-- orchagent: --> comments",
        )
    return PromptAgent(
        name=manifest.name,
        description=" ".join(manifest.description.split()),
        prompt=prompt.strip(),
        input_schema=schemas.get("input"),
        output_schema=schemas.get("output"),
        default_models=manifest.default_models,
        has_skills=bool(manifest.default_skills),
    )


def _refuse_code(folder: Path, manifest: Manifest) -> None:
    path = folder / MANIFEST
    if manifest.type in {"tool", "code"} or manifest.runtime is not None:
        raise InvalidInputError(
            f"{path}: type: a code agent is not installed: it is a program to be run, not a prompt",
            hint=f"orch run {folder}",
        )
    if manifest.type == "skill":
        raise InvalidInputError(
            f"{path}: type: a skill has no {MANIFEST}: it is a SKILL.md, and its tools read that file itself",
            hint="copy the skill's folder to where your tool looks for skills",
        )


def _schemas(folder: Path, manifest: Manifest) -> dict[str, object]:
    """`schema.json` {input, output}, which wins over what stands in the manifest."""
    inline = {"input": manifest.input_schema, "output": manifest.output_schema}
    text = _read(folder / SCHEMA)
    if text is None:
        return inline
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidInputError(f"{folder / SCHEMA}: no JSON object", hint="{input: ..., output: ...}")
    return {**inline, **document}


def _read(path: Path) -> str | None:
    """Not through a link: it would export another file of the caller's."""
    return read_text(path, remedy="replace it by a file")
