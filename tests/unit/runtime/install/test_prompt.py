"""What is read of a directory that is to be installed, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import InvalidInputError, NotFoundError
from runtime.install.prompt import load_prompt_agent


def folder_of(
    folder: Path, *, prompt: str | None = "Review it.\n", schema: object = None, **manifest: Any
) -> Path:
    """An agent's directory."""
    document = {"name": "reviewer", "type": "prompt", "description": "Reviews\ncode", **manifest}
    (folder / "orchagent.json").write_text(json.dumps(document))
    if prompt is not None:
        (folder / "prompt.md").write_text(prompt)
    if schema is not None:
        (folder / "schema.json").write_text(schema if isinstance(schema, str) else json.dumps(schema))
    return folder


@pytest.mark.parametrize("kind", ["prompt", "agent", "agentic"])
def test_prompts_and_agents_are_read(tmp_path: Path, kind: str):
    """Their text, and one line of description."""
    found = load_prompt_agent(folder_of(tmp_path, type=kind, default_models={"anthropic": "m"}))

    assert (found.name, found.prompt, found.description) == ("reviewer", "Review it.", "Reviews code")
    assert found.reference == "local/reviewer"


def test_schema_file_wins_over_the_manifest(tmp_path: Path):
    """As the platform has it."""
    found = load_prompt_agent(
        folder_of(tmp_path, schema={"input": {"a": 1}}, input_schema={"b": 1}, output_schema={"c": 1})
    )

    assert (found.input_schema, found.output_schema) == ({"a": 1}, {"c": 1})


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a tool": ({"type": "tool"}, "code agent"),
    "legacy code": ({"type": "code"}, "code agent"),
    "an agent with a command": ({"type": "agent", "runtime": {"command": "x"}}, "code agent"),
    "a skill": ({"type": "skill"}, "SKILL.md"),
    "no prompt": ({"prompt": None}, "no prompt"),
    "an empty prompt": ({"prompt": " \n"}, "no prompt"),
    "a marker in the prompt": ({"prompt": "x <!-- /orchagent:local/reviewer --> y"}, "marker"),
    "a marker in a schema": ({"schema": {"input": {"d": "<!-- orchagent:a/b -->"}}}, "marker"),
    "a schema that is no JSON": ({"schema": "{oops"}, "schema.json"),
    "a schema that is a list": ({"schema": [1]}, "schema.json"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_installed_is_refused_with_the_reason(tmp_path: Path, case: str):
    """And with a remedy."""
    changes, words = REFUSED[case]

    with pytest.raises(InvalidInputError, match=words) as told:
        load_prompt_agent(folder_of(tmp_path, **changes))

    assert told.value.hint


def test_a_link_is_not_followed(tmp_path: Path):
    """An author cannot export another file of the caller's."""
    (tmp_path / "secret").write_text("marker-secret")
    (tmp_path / "agent").mkdir()
    folder = folder_of(tmp_path / "agent", prompt=None)
    (folder / "prompt.md").symlink_to(tmp_path / "secret")

    with pytest.raises(InvalidInputError, match="symbolic link"):
        load_prompt_agent(folder)


def test_a_directory_without_a_manifest_is_not_found(tmp_path: Path):
    """As for a run."""
    with pytest.raises(NotFoundError):
        load_prompt_agent(tmp_path)
