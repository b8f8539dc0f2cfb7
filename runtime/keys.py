"""The caller's keys: `--key`, then the environment, then the agent directory's `.env`.

Only names that the manifest declares, and the LLM keys of its providers, ever leave the caller's side.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from runtime.errors import InvalidInputError, OrchError
from runtime.manifest import Manifest
from runtime.model import Secret
from runtime.plain_file import open_plain

KEY_NAMES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY"}
MAX_DOTENV_BYTES = 1 << 20


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
    values = {}
    for number, raw in enumerate(_dotenv_text(path).splitlines(), 1):
        line = raw.strip().removeprefix("export ").lstrip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip().isidentifier() or "\0" in value:
            raise InvalidInputError(f"{path}:{number}: expected NAME=value", hint="correct the line named")
        values[name.strip()] = _unquote(value.strip())
    return values


def _dotenv_text(path: Path) -> str:
    """Not through a link: an agent's author must not choose which of the caller's files is read."""
    try:
        with open_plain(path) as file:
            content = file.read(MAX_DOTENV_BYTES + 1)
        if len(content) > MAX_DOTENV_BYTES:
            raise InvalidInputError(f"{path}: more than 1 MiB", hint="keep NAME=value lines only")
        return content.decode()
    except FileNotFoundError:
        return ""
    except OSError as exc:
        raise InvalidInputError(
            f"{path}: {exc.strerror}", hint="replace it by a file, or remove it"
        ) from None
    except UnicodeDecodeError:
        raise InvalidInputError(f"{path}: not UTF-8 text", hint="save the file as UTF-8") from None


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] in "'\"" and value[0] == value[-1]:
        return value[1:-1]
    return value.partition(" #")[0].rstrip()


def providers_of(manifest: Manifest) -> list[str]:
    """The providers whose keys count, in the order they are tried (`any` means all)."""
    if "any" in manifest.supported_providers:
        return list(KEY_NAMES)
    return [name for name in manifest.supported_providers if name in KEY_NAMES]


def provider_of(manifest: Manifest, provider: str | None, secrets: Mapping[str, Secret]) -> str | None:
    """The provider of this run: the caller's, else the first one that has a key."""
    keyed = [name for name in providers_of(manifest) if KEY_NAMES[name] in secrets]
    return provider or next(iter(keyed), None)


def resolve_secrets(
    manifest: Manifest,
    *,
    key: str | None,
    provider: str | None,
    environment: Mapping[str, str],
    folder: Path,
) -> dict[str, Secret]:
    """The secrets to hand over. An environment variable that is not empty wins over `.env`.

    Raises InvalidInputError (flags, `.env`), MissingSecretsError, LlmKeyRequiredError.
    """
    providers = providers_of(manifest)
    _check_flags(key, provider, providers)
    known = {**read_dotenv(folder / ".env"), **{name: value for name, value in environment.items() if value}}
    llm_names = [KEY_NAMES[name] for name in ([provider] if provider else providers)]
    declared = [*manifest.required_secrets, *manifest.optional_secrets]
    found = {name: Secret(known[name]) for name in [*llm_names, *declared] if known.get(name)}
    if key is not None and provider is not None:
        found[KEY_NAMES[provider]] = Secret(key)
    missing = [name for name in manifest.required_secrets if name not in found]
    if missing:
        raise MissingSecretsError(
            f"Secrets not found in workspace: {', '.join(missing)}.",
            hint="; ".join(f"export {name}=..." for name in missing)
            + f" (or put them into {folder / '.env'})",
        )
    if providers and not any(name in found for name in llm_names):
        raise LlmKeyRequiredError(
            f"No LLM key found for: {', '.join([provider] if provider else providers)}",
            hint=f"export {llm_names[0]}=..., or give --key KEY --provider {provider or providers[0]}",
        )
    return found


def _check_flags(key: str | None, provider: str | None, providers: list[str]) -> None:
    if key is not None and provider is None:
        raise InvalidInputError("--key needs --provider", hint="--provider openai|anthropic|gemini")
    if key is not None and (not key.strip() or "\0" in key):
        raise InvalidInputError("--key is empty", hint="give a key, or leave --key out")
    if provider is not None and provider not in providers:
        raise InvalidInputError(
            f"--provider {provider}: this agent supports {', '.join(providers) or 'no provider'}",
            hint="leave --provider out, or choose one of these",
        )
