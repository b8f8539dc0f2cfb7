"""The caller's keys: `--key`, then the environment, then the agent directory's `.env`.

Only names that the manifest declares, and the LLM keys of its providers, ever leave the caller's side.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from runtime.errors import InvalidInputError, OrchError
from runtime.manifest import Manifest
from runtime.model import Secret

KEY_NAMES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY"}


class MissingSecretsError(OrchError):
    """Declared secrets that nobody has."""

    code = "MISSING_SECRETS"
    status = 400


class LlmKeyRequiredError(OrchError):
    """None of the agent's providers has a key."""

    code = "LLM_KEY_REQUIRED"
    status = 400


def read_dotenv(path: Path) -> dict[str, str]:
    """NAME=value lines; quotes around a value are taken off. A missing file is empty.

    Raises InvalidInputError naming the line, never its content.
    """
    if not path.is_file():
        return {}
    values = {}
    for number, raw in enumerate(path.read_text().splitlines(), 1):
        line = raw.strip().removeprefix("export ")
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip().isidentifier():
            raise InvalidInputError(f"{path}:{number}: expected NAME=value", hint="correct the line named")
        value = value.strip()
        is_quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
        values[name.strip()] = value[1:-1] if is_quoted else value
    return values


def providers_of(manifest: Manifest) -> list[str]:
    """The providers whose keys count, in the order they are tried (`any` means all)."""
    if "any" in manifest.supported_providers:
        return list(KEY_NAMES)
    return [name for name in manifest.supported_providers if name in KEY_NAMES]


def resolve_secrets(
    manifest: Manifest,
    *,
    key: str | None,
    provider: str | None,
    environment: Mapping[str, str],
    folder: Path,
) -> dict[str, Secret]:
    """The secrets to hand over. An existing environment variable wins over `.env`.

    Raises InvalidInputError (flags), MissingSecretsError, LlmKeyRequiredError.
    """
    if key is not None and provider is None:
        raise InvalidInputError("--key needs --provider", hint="--provider openai|anthropic|gemini")
    known = {**read_dotenv(folder / ".env"), **environment}
    providers = providers_of(manifest)
    if provider is not None and provider not in providers:
        raise InvalidInputError(
            f"--provider {provider}: this agent supports {', '.join(providers) or 'no provider'}",
            hint="leave --provider out, or choose one of these",
        )
    llm_names = [KEY_NAMES[name] for name in ([provider] if provider else providers)]
    declared = [*manifest.required_secrets, *manifest.optional_secrets]
    found = {name: Secret(known[name]) for name in [*llm_names, *declared] if known.get(name)}
    if key is not None and provider is not None:
        found[KEY_NAMES[provider]] = Secret(key)
    missing = [name for name in manifest.required_secrets if name not in found]
    if missing:
        raise MissingSecretsError(
            f"Secrets not found in workspace: {', '.join(missing)}.",
            hint="; ".join(f"export {name}=..." for name in missing),
        )
    if providers and not any(name in found for name in llm_names):
        raise LlmKeyRequiredError(
            f"No LLM key found for: {', '.join([provider] if provider else providers)}",
            hint=f"export {llm_names[0]}=..., or give --key KEY --provider {provider or providers[0]}",
        )
    return found
