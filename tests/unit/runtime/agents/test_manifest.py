"""`orchagent.json`: what is taken, what is refused, and by which words."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from runtime.agents.manifest import load_manifest, needs_of, read_manifest
from runtime.errors import InvalidInputError, NotFoundError
from runtime.model.needs import LlmChain, Needs

FULL = {
    "$schema": "https://schema.example/orchagent.json",
    "name": "text-tool",
    "type": "tool",
    "description": "d",
    "supported_providers": ["openai", "any"],
    "run_mode": "on_demand",
    "callable": True,
    "default_endpoint": "run",
    "timeout_seconds": 30.5,
    "tags": ["a"],
    "is_public": False,
    "default_models": {"openai": "gpt"},
    "default_skills": [],
    "skills_locked": False,
    "required_secrets": ["A_KEY"],
    "optional_secrets": ["B_KEY"],
    "entrypoint": "main.py",
    "source_url": "x",
    "pip_package": "x",
    "run_command": "x",
    "bundle": {"include": ["docs"], "exclude": ["data/*"]},
    "prompt_template": "x",
    "input_schema": {},
    "output_schema": {},
    "custom_tools": [],
    "model_tasks": {},
    "max_turns": 3,
    "llm": {"primary": "gemini-2.5-flash", "fallbacks": ["openai/gpt-4o-mini", "claude-3-haiku"]},
    "llm_config": {},
    "manifest": {"manifest_version": 1, "dependencies": []},
}


def write(folder: Path, document: object) -> Path:
    """A directory with this manifest."""
    text = document if isinstance(document, str) else json.dumps(document)
    (folder / "orchagent.json").write_text(text)
    return folder


def test_every_field_of_the_platform_is_taken(tmp_path: Path):
    """A manifest that uses all of the platform's fields is read."""
    found = load_manifest(write(tmp_path, FULL))

    assert (found.name, found.timeout_seconds) == ("text-tool", 30.5)
    assert found.required_secrets == ["A_KEY"]
    assert found.bundle.include == ("docs",)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt field": ({"requird_secrets": []}, "requird_secrets"),
    "a name in capitals": ({"name": "Bad"}, "name"),
    "a name with two hyphens": ({"name": "a--b"}, "name"),
    "a name of one letter": ({"name": "a"}, "name"),
    "a number for a name": ({"name": 5}, "name"),
    "an unknown type": ({"type": "service"}, "type"),
    "an unknown provider": ({"supported_providers": ["acme"]}, "supported_providers"),
    "a time limit as text": ({"timeout_seconds": "30"}, "timeout_seconds"),
    "a time limit of true": ({"timeout_seconds": True}, "timeout_seconds"),
    "a time limit of nothing": ({"timeout_seconds": 0}, "timeout_seconds"),
    "a time limit beyond the cap": ({"timeout_seconds": 901}, "timeout_seconds"),
    "a secret in small letters": ({"required_secrets": ["key"]}, "required_secrets"),
    "the gateway's own key": ({"optional_secrets": ["ORCHAGENT_SERVICE_KEY"]}, "optional_secrets"),
    "an empty entry": ({"entrypoint": ""}, "entrypoint"),
    "an empty command": ({"runtime": {"command": ""}}, "runtime.command"),
    "an unknown field in a section": ({"runtime": {"command": "x", "shell": "y"}}, "runtime.shell"),
    "an llm section without a primary": ({"llm": {}}, "llm.primary"),
    "a model of an unknown provider": ({"llm": {"primary": "llama3.2"}}, "llm.primary"),
    "a fallback of an unknown provider": (
        {"llm": {"primary": "gpt-x", "fallbacks": ["gpt-y", "mistral/large"]}},
        "llm.fallbacks.1",
    ),
    "a provider without a model": ({"llm": {"primary": "openai/"}}, "llm.primary"),
    "a model twice": ({"llm": {"primary": "gpt-x", "fallbacks": ["openai:gpt-x"]}}, "llm"),
    "nine models": (
        {"llm": {"primary": "gpt-0", "fallbacks": [f"gpt-{n}" for n in range(1, 9)]}},
        "llm.fallbacks",
    ),
    "an unknown field of llm": ({"llm": {"primary": "gpt-x", "fallback": []}}, "llm.fallback"),
    "a service": ({"run_mode": "always_on"}, "run_mode"),
    "a managed loop": ({"loop": {"max_turns": 3}}, "loop"),
    "a prompt": ({"type": "prompt"}, "type"),
    "an agent": ({"type": "agent"}, "type"),
    "a legacy agent": ({"type": "agentic"}, "type"),
    "a skill": ({"type": "skill"}, "type"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_field_is_named(tmp_path: Path, case: str):
    """File, field and remedy are in the error."""
    change, field = REFUSED[case]
    folder = write(tmp_path, {"name": "agent", "type": "tool", **change})

    with pytest.raises(InvalidInputError) as told:
        load_manifest(folder)

    assert f"{folder / 'orchagent.json'}: {field}" in told.value.message
    assert told.value.hint


def test_misspelt_field_is_guessed(tmp_path: Path):
    """The hint names the field that was meant."""
    with pytest.raises(InvalidInputError) as told:
        load_manifest(write(tmp_path, {"name": "agent", "requird_secrets": []}))

    assert told.value.hint == "did you mean required_secrets?"


def test_value_in_the_wrong_place_is_not_repeated(tmp_path: Path):
    """A key put where its name belongs is not echoed."""
    with pytest.raises(InvalidInputError) as told:
        load_manifest(write(tmp_path, {"name": "agent", "required_secrets": ["sk-marker-value"]}))

    assert "marker" not in f"{told.value.message} {told.value.hint}"


@pytest.mark.parametrize("text", ["", "{", '{"name": "x",\n oops}', "[" * 100_000, '"text"', "[]", "null"])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str):
    """Broken JSON and JSON that is no object are one clear error."""
    with pytest.raises(InvalidInputError, match=r"orchagent\.json"):
        load_manifest(write(tmp_path, text))


def test_line_of_broken_json_is_named(tmp_path: Path):
    """The error says where the JSON breaks."""
    with pytest.raises(InvalidInputError, match=r"orchagent\.json:2: not JSON"):
        load_manifest(write(tmp_path, '{"name": "x",\n oops}'))


def test_absent_manifest_is_not_found(tmp_path: Path):
    """A directory without a manifest holds no agent."""
    with pytest.raises(NotFoundError, match=r"orchagent\.json"):
        load_manifest(tmp_path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * ((1 << 20) + 1)])
def test_unreadable_manifest_is_refused(tmp_path: Path, content: bytes):
    """No UTF-8 and no end are refused before anything is parsed."""
    (tmp_path / "orchagent.json").write_bytes(content)

    with pytest.raises(InvalidInputError, match=r"orchagent\.json"):
        load_manifest(tmp_path)


def test_folder_in_its_place_is_refused(tmp_path: Path):
    """A folder called orchagent.json is an error, not a crash."""
    (tmp_path / "orchagent.json").mkdir()

    with pytest.raises(InvalidInputError, match=r"orchagent\.json"):
        load_manifest(tmp_path)


def test_needs_are_what_the_manifest_names(tmp_path: Path):
    """Names and models, with the caller's choice; never a value."""
    found = needs_of(load_manifest(write(tmp_path, FULL)), provider="openai", model="m")

    assert found == Needs(
        required=("A_KEY",),
        optional=("B_KEY",),
        providers=("openai", "any"),
        provider="openai",
        model="m",
        default_models={"openai": "gpt"},
        llm=LlmChain("gemini-2.5-flash", ("openai/gpt-4o-mini", "claude-3-haiku")),
    )


@pytest.mark.parametrize("kind", ["prompt", "agent", "agentic", "skill"])
def test_what_is_not_run_is_still_read(tmp_path: Path, kind: str):
    """`orch install` exports agents that `orch run` refuses."""
    folder = write(tmp_path, {"name": "agent", "type": kind, "loop": {"max_turns": 3}})

    assert read_manifest(folder).type == kind
    with pytest.raises(InvalidInputError, match="type"):
        load_manifest(folder)


def test_a_manifest_is_a_plain_file(tmp_path: Path):
    """A pipe does not hang the command, and a link is not followed: an author chooses none of our files."""
    os.mkfifo(tmp_path / "orchagent.json")
    with pytest.raises(InvalidInputError, match="not a regular file"):
        read_manifest(tmp_path)

    (tmp_path / "orchagent.json").unlink()
    (tmp_path / "other").write_text('{"name": "an-agent"}')
    (tmp_path / "orchagent.json").symlink_to(tmp_path / "other")
    with pytest.raises(InvalidInputError, match="symbolic link"):
        read_manifest(tmp_path)
