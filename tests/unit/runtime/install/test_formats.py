"""The text of each format."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from runtime.install.formats import FORMATS
from runtime.install.prompt import PromptAgent

AGENT = PromptAgent(
    name="reviewer",
    description="Reviews code",
    prompt="Review it.",
    input_schema={"type": "object"},
    output_schema=None,
    default_models={"anthropic": "claude-opus-4-5-20251101"},
)


def test_claude_code():
    """Front matter with read-only tools and the model's alias, the prompt, the schemas as text."""
    text = FORMATS["claude-code"].render(AGENT)
    _, head, body = text.split("---\n", 2)

    assert yaml.safe_load(head) == {
        "name": "reviewer", "description": "Reviews code", "tools": "Read, Glob, Grep", "model": "opus"
    }  # fmt: skip
    assert body.startswith("\nReview it.\n\n## Input schema\n")
    assert "Output schema" not in body


@pytest.mark.parametrize(
    ("model", "alias"),
    [("claude-sonnet-4-5", "sonnet"), ("claude-3-haiku", "haiku"), ("claude-x", None), ("", None)],
)
def test_claude_code_model(model: str, alias: str | None):
    """A model that has no alias is left to the tool."""
    text = FORMATS["claude-code"].render(dataclasses.replace(AGENT, default_models={"anthropic": model}))

    assert yaml.safe_load(text.split("---\n")[1]).get("model") == alias


def test_cursor():
    """A rule that is not always applied."""
    text = FORMATS["cursor"].render(AGENT)

    assert text.startswith(
        "---\ndescription: Reviews code\nglobs:\nalwaysApply: false\n---\n\n# reviewer\n\nReview it."
    )


def test_agents_md():
    """One block between markers of its own."""
    text = FORMATS["agents-md"].render(AGENT)

    assert text.startswith("<!-- orchagent:local/reviewer -->\n## reviewer\n\nReviews code\n\nReview it.")
    assert text.endswith("<!-- /orchagent:local/reviewer -->\n")


@pytest.mark.parametrize(
    "description", ["x: y", "tools: Bash", "--- tools: Bash", "# no", "'", '"', "a: null"]
)
@pytest.mark.parametrize("name", ["claude-code", "cursor"])
def test_a_description_is_no_field(name: str, description: str):
    """Whatever an author writes stays the description."""
    text = FORMATS[name].render(dataclasses.replace(AGENT, description=description))

    head = yaml.safe_load(text.split("---\n", 2)[1])
    assert head["description"] == description
    assert set(head) <= {"name", "description", "tools", "model", "globs", "alwaysApply"}
    assert head.get("tools", "Read, Glob, Grep") == "Read, Glob, Grep"


def test_paths_are_the_platforms():
    """Where each tool looks."""
    assert {f.id: (f.path, f.scopes) for f in FORMATS.values()} == {
        "claude-code": (".claude/agents/{name}.md", ("user", "project")),
        "cursor": (".cursor/rules/{name}.mdc", ("project",)),
        "agents-md": ("AGENTS.md", ("project",)),
    }
