"""What an agent finds in its environment on the caller's machine."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.agents.manifest import Manifest
from runtime.keys.settle import Settled
from runtime.local.environment import agent_environment, setup_environment
from runtime.model.secret import Secret


def found(
    environment: dict[str, str] | None = None,
    dotenv: dict[str, str] | None = None,
    *,
    secrets: dict[str, str] | None = None,
    env: dict[str, str] | None = None,
    **manifest: Any,
) -> dict[str, str]:
    """The agent's environment."""
    settled = Settled({name: Secret(value) for name, value in (secrets or {}).items()}, env or {})
    document = Manifest(name="agent", type="tool", **manifest)
    return agent_environment(environment or {}, dotenv or {}, settled, document, now_ms=1_000_000)


def test_precedence():
    """The run's own secrets and models, then the caller's environment, then .env."""
    environment = {"A": "env", "B": "env", "KEY": "env", "EMPTY": ""}
    dotenv = {"A": "file", "C": "file", "EMPTY": "file"}

    seen = found(environment, dotenv, secrets={"KEY": "flag"}, env={"LLM_MODEL": "m"})

    assert {name: seen[name] for name in (*environment, "C")} == {
        "A": "env", "B": "env", "KEY": "flag", "EMPTY": "file", "C": "file"
    }  # fmt: skip
    assert (seen["LLM_MODEL"], seen["LOCAL_MODE"]) == ("m", "1")


@pytest.mark.parametrize(
    ("environment", "provider", "expected"),
    [
        ({}, "ollama", "http://localhost:11434/v1"),
        ({"OLLAMA_HOST": ""}, "ollama", "http://localhost:11434/v1"),
        ({"OLLAMA_HOST": "http://other:1/v1"}, "ollama", "http://other:1/v1"),
        ({}, "openai", None),
    ],
)
def test_ollama_is_where_the_caller_says(environment: dict[str, str], provider: str, expected: str | None):
    """Or at the platform's default."""
    assert found(environment, env={"LLM_PROVIDER": provider}).get("OLLAMA_HOST") == expected


def test_calling_other_agents_is_local_where_they_are_declared():
    """The SDK's variables for a run without a gateway; none for an agent that calls nobody."""
    section = {"dependencies": [{"id": "a/b", "version": "v1"}], "max_hops": 3, "timeout_ms": 500}

    seen = found({"HOME": "/home/me"}, manifest=section)

    assert seen["ORCHAGENT_LOCAL_EXECUTION"] == "true"
    assert seen["ORCHAGENT_AGENTS_DIR"] == "/home/me/.orchagent/agents"
    assert seen["ORCHAGENT_DEADLINE_MS"] == "1000500"
    assert (seen["ORCHAGENT_MAX_HOPS"], seen["ORCHAGENT_DOWNSTREAM_REMAINING"]) == ("3", "50")
    assert not [name for name in found({"HOME": "/x"}) if name.startswith("ORCHAGENT_")]
    assert not [name for name in found(manifest={"dependencies": []}) if name.startswith("ORCHAGENT_")]


def test_pip_gets_no_secret_and_no_other_target():
    """Set-up code is not the agent, and writes nowhere but into the run's environment."""
    environment = {"PATH": "/bin", "KEY": "k", "PIP_TARGET": "/x", "PIP_PREFIX": "/x", "PIP_INDEX_URL": "u"}

    seen = setup_environment(environment, Settled({"KEY": Secret("k")}, {}))

    assert seen == {"PATH": "/bin", "PIP_INDEX_URL": "u", "PIP_USER": "0"}
