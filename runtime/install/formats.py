"""The formats that `orch install` exports to: where each belongs, and its text. Pure.

Paths and front matter are those of the platform's CLI; example: claude-code, `~/.claude/agents/NAME.md`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import yaml

from runtime.install.prompt import PromptAgent

Scope = Literal["user", "project"]
ADAPTER_VERSION = "1.0.0"
READ_ONLY_TOOLS = "Read, Glob, Grep"
"""What an installed sub-agent may use: somebody else wrote its prompt."""


class Format(NamedTuple):
    """One tool's way to keep prompts."""

    id: str
    title: str
    scopes: tuple[Scope, ...]
    """The first stands in for one that it does not know."""
    path: str
    """Below the home (user) or the working directory (project)."""
    render: Callable[[PromptAgent], str]
    is_block: bool = False
    """Whether the text is one block of a file that others write too."""


def markers(reference: str) -> tuple[str, str]:
    """The lines around an agent's block."""
    return f"<!-- orchagent:{reference} -->", f"<!-- /orchagent:{reference} -->"


def _claude(agent: PromptAgent) -> str:
    alias = _alias(agent.default_models.get("anthropic", ""))
    head = {
        "name": agent.name,
        "description": agent.description or f"Delegatable agent: {agent.name}",
        "tools": READ_ONLY_TOOLS,
        **({"model": alias} if alias else {}),
    }
    return f"{_front_matter(head)}\n{agent.prompt}{_schema_text(agent)}\n"


def _cursor(agent: PromptAgent) -> str:
    head = {"description": agent.description or f"Rules from {agent.name}"}
    front = _front_matter(head, "globs:", "alwaysApply: false")
    return f"{front}\n# {agent.name}\n\n{agent.prompt}{_schema_text(agent)}\n"


def _agents_md(agent: PromptAgent) -> str:
    first, last = markers(agent.reference)
    description = agent.description.replace("<!--", "").replace("-->", "")
    parts = [f"## {agent.name}", *([description] if description else []), agent.prompt + _schema_text(agent)]
    return "\n".join([first, "\n\n".join(parts), last, ""])


def _front_matter(head: Mapping[str, str], *lines: str) -> str:
    """Written by a YAML library: a description must not become a field of its own."""
    text = yaml.safe_dump(dict(head), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{text}" + "".join(f"{line}\n" for line in lines) + "---\n"


def _alias(model: str) -> str | None:
    return next((alias for alias in ("opus", "sonnet", "haiku") if alias in model), None)


def _schema_text(agent: PromptAgent) -> str:
    """Schemas are told, since none of these tools enforces them."""
    told = (
        ("Input", "This agent expects input that fits", agent.input_schema),
        ("Output", "This agent answers with output that fits", agent.output_schema),
    )
    return "".join(
        f"\n\n## {name} schema\n\n{sentence}:\n```json\n{json.dumps(schema, indent=2)}\n```"
        for name, sentence, schema in told
        if schema
    )


FORMATS = {
    format_.id: format_
    for format_ in (
        Format("claude-code", "Claude Code", ("user", "project"), ".claude/agents/{name}.md", _claude),
        Format("cursor", "Cursor rules", ("project",), ".cursor/rules/{name}.mdc", _cursor),
        Format("agents-md", "AGENTS.md", ("project",), "AGENTS.md", _agents_md, is_block=True),
    )
}
