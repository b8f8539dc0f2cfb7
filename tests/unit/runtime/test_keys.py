"""Which keys leave the caller's side, from where, and what is said when they are missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.errors import InvalidInputError
from runtime.keys import (
    LlmKeyRequiredError,
    MissingSecretsError,
    provider_of,
    providers_of,
    read_dotenv,
    resolve_secrets,
)
from runtime.manifest import Manifest

MARKER = "marker-7b1-value"


def tool(**more) -> Manifest:
    """A manifest."""
    return Manifest(name="agent", type="tool", **more)


def resolve(
    manifest: Manifest, folder: Path, *, key=None, provider=None, **environment: str
) -> dict[str, str]:
    """The resolved secrets, in the clear."""
    found = resolve_secrets(manifest, key=key, provider=provider, environment=environment, folder=folder)
    return {name: secret.reveal() for name, secret in found.items()}


def test_precedence_is_flag_environment_dotenv(tmp_path: Path):
    """--key wins over the environment, which wins over .env."""
    manifest = tool(supported_providers=["openai"])
    (tmp_path / ".env").write_text("OPENAI_API_KEY=file")

    assert resolve(manifest, tmp_path) == {"OPENAI_API_KEY": "file"}
    assert resolve(manifest, tmp_path, OPENAI_API_KEY="env") == {"OPENAI_API_KEY": "env"}
    assert resolve(manifest, tmp_path, OPENAI_API_KEY="") == {"OPENAI_API_KEY": "file"}
    assert resolve(manifest, tmp_path, OPENAI_API_KEY="env", key="flag", provider="openai") == {
        "OPENAI_API_KEY": "flag"
    }


def test_only_declared_names_leave(tmp_path: Path):
    """What the manifest does not declare stays, whatever the environment and .env hold."""
    (tmp_path / ".env").write_text("OTHER=1\nNEEDED=2\n")
    manifest = tool(required_secrets=["NEEDED"], optional_secrets=["NICE", "ABSENT"])

    found = resolve(manifest, tmp_path, NICE="3", AWS_SECRET_ACCESS_KEY="4", OPENAI_API_KEY="5")

    assert found == {"NEEDED": "2", "NICE": "3"}


def test_any_provider_takes_every_llm_key(tmp_path: Path):
    """`any` is all providers; --provider narrows it to one."""
    manifest = tool(supported_providers=["any"])
    keys = {"OPENAI_API_KEY": "o", "GEMINI_API_KEY": "g"}

    assert providers_of(manifest) == ["openai", "anthropic", "gemini"]
    assert resolve(manifest, tmp_path, **keys) == keys
    assert resolve(manifest, tmp_path, provider="gemini", **keys) == {"GEMINI_API_KEY": "g"}


def test_provider_is_the_first_with_a_key(tmp_path: Path):
    """LLM_PROVIDER names a provider whose key is there."""
    manifest = tool(supported_providers=["any"])
    found = resolve_secrets(
        manifest, key=None, provider=None, environment={"GEMINI_API_KEY": "g"}, folder=tmp_path
    )

    assert provider_of(manifest, None, found) == "gemini"
    assert provider_of(manifest, "openai", found) == "openai"
    assert provider_of(tool(), None, {}) is None


def test_missing_secrets_name_their_remedy(tmp_path: Path):
    """Every missing name is listed, with the command for each."""
    with pytest.raises(MissingSecretsError) as told:
        resolve(tool(required_secrets=["A_KEY", "B_KEY", "C_KEY"]), tmp_path, B_KEY=MARKER)

    assert told.value.reported_code == "MISSING_SECRETS"
    assert told.value.message == "Secrets not found in workspace: A_KEY, C_KEY."
    assert "export A_KEY=...; export C_KEY=..." in str(told.value.hint)
    assert MARKER not in f"{told.value.message}{told.value.hint}"


def test_missing_llm_key_names_its_remedy(tmp_path: Path):
    """One of the providers' keys is enough; none is LLM_KEY_REQUIRED."""
    manifest = tool(supported_providers=["anthropic", "openai"])

    assert resolve(manifest, tmp_path, OPENAI_API_KEY="o") == {"OPENAI_API_KEY": "o"}
    with pytest.raises(LlmKeyRequiredError) as told:
        resolve(manifest, tmp_path)

    assert told.value.reported_code == "LLM_KEY_REQUIRED"
    assert told.value.hint == "export ANTHROPIC_API_KEY=..., or give --key KEY --provider anthropic"


def test_agent_without_a_provider_needs_no_key(tmp_path: Path):
    """A tool that calls no model runs without any."""
    assert resolve(tool(), tmp_path, OPENAI_API_KEY="o") == {}
    assert resolve(tool(supported_providers=["ollama"]), tmp_path) == {}


@pytest.mark.parametrize(
    ("key", "provider", "words"),
    [
        ("k", None, "--provider"),
        ("", "openai", "--key is empty"),
        ("a\0b", "openai", "--key"),
        ("k", "gemini", "this agent supports openai"),
        (None, "ollama", "this agent supports openai"),
    ],
)
def test_bad_flags_are_refused(tmp_path: Path, key: str | None, provider: str | None, words: str):
    """A flag that cannot be meant is one clear error."""
    with pytest.raises(InvalidInputError, match=words):
        resolve(tool(supported_providers=["openai"]), tmp_path, key=key, provider=provider)


def test_dotenv_forms(tmp_path: Path):
    """Comments, export, quotes and spaces, as people write them."""
    path = tmp_path / ".env"
    path.write_text("# c\n\nA=1\nexport B = two \nC='x # y'\nD=\"q\"\nE=a=b\nF=v # note\nG=\n")

    assert read_dotenv(path) == {"A": "1", "B": "two", "C": "x # y", "D": "q", "E": "a=b", "F": "v", "G": ""}


@pytest.mark.parametrize("line", [MARKER, f"bad name={MARKER}", f"A={MARKER}\0"])
def test_bad_dotenv_line_is_named_and_not_quoted(tmp_path: Path, line: str):
    """The error has the line's number, never its text."""
    path = tmp_path / ".env"
    path.write_text(f"A=1\n{line}\n")

    with pytest.raises(InvalidInputError, match=r"\.env:2") as told:
        read_dotenv(path)

    assert MARKER not in f"{told.value.message}{told.value.hint}"


def test_dotenv_that_is_no_utf8_is_refused(tmp_path: Path):
    """Bytes that are no text are refused, not shown."""
    path = tmp_path / ".env"
    path.write_bytes(b"A=\xff" + MARKER.encode())

    with pytest.raises(InvalidInputError, match="UTF-8") as told:
        read_dotenv(path)

    assert MARKER not in repr(told.value)
    assert told.value.__cause__ is None


def test_dotenv_is_not_read_through_a_link(tmp_path: Path):
    """An agent's author cannot point .env at another file of the caller's."""
    other = tmp_path / "other"
    other.write_text("NEEDED=" + MARKER)
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / ".env").symlink_to(other)

    with pytest.raises(InvalidInputError, match="symbolic link"):
        resolve(tool(required_secrets=["NEEDED"]), folder)


def test_dotenv_that_is_no_file_is_refused_at_once(tmp_path: Path):
    """A pipe or a folder called .env does not hang the command."""
    os.mkfifo(tmp_path / ".env")
    with pytest.raises(InvalidInputError, match=r"\.env"):
        read_dotenv(tmp_path / ".env")

    (tmp_path / "x").mkdir()
    with pytest.raises(InvalidInputError, match="x"):
        read_dotenv(tmp_path / "x")
