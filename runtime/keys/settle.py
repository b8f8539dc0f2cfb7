"""Which secrets a run gets, from where, and what is said when they are missing. Pure.

In order: the caller's flag, the caller's environment, the `.env` of the agent's directory (`gather`, on the
caller's side), then the workspace's vault (`settle`, where the run is started). Only names that the agent
declares, and the LLM keys of its providers, are ever taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from runtime.errors import InvalidInputError, LlmKeyRequiredError, MissingSecretsError
from runtime.model.llm_providers import (
    DEFAULT_MODELS,
    HOSTED,
    KEY_NAMES,
    LOCAL,
    PROVIDER_OF_KEY,
    expand,
    known_model,
)
from runtime.model.needs import Needs
from runtime.model.secret import Secret


class Settled(NamedTuple):
    """What the agent finds in its environment."""

    secrets: dict[str, Secret]
    env: dict[str, str]
    """LLM_PROVIDER and LLM_MODEL, where they are known."""


def providers_of(needs: Needs, *, is_local: bool = False) -> tuple[str, ...]:
    """The providers that count, in the order they are tried: the author's models first."""
    return expand((*_chain(needs), *needs.providers), is_local=is_local)


def wanted(needs: Needs) -> set[str]:
    """The names of all secrets that this run may have."""
    return {*needs.required, *needs.optional, *(KEY_NAMES[name] for name in _keyed(needs))}


def gather(
    needs: Needs, *, key: str | None, environment: Mapping[str, str], dotenv: Mapping[str, str]
) -> dict[str, Secret]:
    """What the caller has: `--key`, then the environment where it is not empty, then `.env`."""
    known = {**dotenv, **{name: value for name, value in environment.items() if value}}
    found = {name: Secret(known[name]) for name in sorted(wanted(needs)) if known.get(name)}
    if key is not None and (key_name := KEY_NAMES.get(needs.provider or "")) is not None:
        found[key_name] = Secret(key)
    return found


def check_choice(needs: Needs, *, key: str | None, is_local: bool = False) -> None:
    """Refuse flags that cannot be meant. Raises InvalidInputError."""
    if key is not None and needs.provider is None:
        raise InvalidInputError("--key needs --provider", hint=f"--provider {'|'.join(HOSTED)}")
    if key is not None and (not key.strip() or "\0" in key):
        raise InvalidInputError("--key is empty", hint="give a key, or leave --key out")
    if key is not None and needs.provider in LOCAL:
        raise InvalidInputError(f"--key: {needs.provider} takes no key", hint="leave --key out")
    if needs.provider is not None and not providers_of(needs, is_local=True):
        raise _unsupported(needs.provider, ())
    _check_providers(needs, is_local=is_local)


def settle(
    needs: Needs,
    given: Mapping[str, Secret],
    stored: Mapping[str, Secret],
    *,
    workspace: str | None,
    is_local: bool = False,
) -> Settled:
    """The secrets and plain variables of a run; what was given wins over what is stored.

    Without a workspace there is no vault for a remedy to name. Raises InvalidInputError (a provider),
    MissingSecretsError, LlmKeyRequiredError.
    """
    _check_providers(needs, is_local=is_local)
    names = wanted(needs)
    secrets = {name: value for name, value in given.items() if name in names or not _is_surplus(name, needs)}
    secrets = {name: value for name, value in stored.items() if name in names} | secrets
    missing = [name for name in dict.fromkeys(needs.required) if name not in secrets]
    if missing:
        raise _missing(missing, workspace)
    tried = (needs.provider,) if needs.provider else providers_of(needs, is_local=is_local)
    usable = [name for name in tried if name in LOCAL or KEY_NAMES[name] in secrets]
    if tried and not usable:
        raise _no_key(tried, workspace)
    return Settled(secrets, _environment(needs, usable[0] if usable else None))


def _chain(needs: Needs) -> dict[str, str]:
    """Provider -> the first of its models in the author's chain; in the chain's order."""
    models: dict[str, str] = {}
    for entry in needs.llm.entries if needs.llm else ():
        provider, model = known_model(entry)
        models.setdefault(provider, model)
    return models


def _keyed(needs: Needs) -> list[str]:
    """The providers whose keys are taken: all that count, or the caller's choice and the chain's."""
    names = (needs.provider, *_chain(needs)) if needs.provider else providers_of(needs)
    return [name for name in dict.fromkeys(names) if name in KEY_NAMES]


def _is_surplus(name: str, needs: Needs) -> bool:
    """An LLM key that the caller gave for a provider which this run does not use."""
    return name in PROVIDER_OF_KEY and bool(needs.provider or providers_of(needs, is_local=True))


def _environment(needs: Needs, provider: str | None) -> dict[str, str]:
    """The caller's model, else the author's for this provider, else the platform's."""
    model = needs.model
    if provider and not model:
        model = _chain(needs).get(provider) or needs.default_models.get(provider) or DEFAULT_MODELS[provider]
    named = {"LLM_PROVIDER": provider, "LLM_MODEL": model}
    return {name: value for name, value in named.items() if value}


def _check_providers(needs: Needs, *, is_local: bool) -> None:
    supported = providers_of(needs, is_local=True)
    if needs.provider is not None and supported and needs.provider not in supported:
        raise _unsupported(needs.provider, supported)
    meant = (needs.provider,) if needs.provider else supported
    if not is_local and meant and all(name in LOCAL for name in meant):
        raise InvalidInputError(
            f"{meant[0]} runs on the caller's own machine, which a sandbox does not reach",
            hint="orch run AGENT --local, or another --provider",
        )


def _unsupported(provider: str, supported: tuple[str, ...]) -> InvalidInputError:
    return InvalidInputError(
        f"--provider {provider}: this agent supports {', '.join(supported) or 'no provider'}",
        hint="leave --provider out, or choose one of these",
    )


def _missing(names: list[str], workspace: str | None) -> MissingSecretsError:
    """The platform's CLI reads the names between the colon and the first dot."""
    if workspace is None:
        exports = "; ".join(f"export {name}=..." for name in names)
        return MissingSecretsError(
            f"Secrets not found in the environment: {', '.join(names)}.",
            hint=f"{exports} (or put them into the agent's .env)",
        )
    return MissingSecretsError(
        f"Secrets not found in workspace: {', '.join(names)}.",
        hint="\n".join(_set_command(name, workspace) for name in names),
    )


def _no_key(tried: tuple[str, ...], workspace: str | None) -> LlmKeyRequiredError:
    first = tried[0]
    remedy = (
        f"export {KEY_NAMES[first]}=..." if workspace is None else _set_command(KEY_NAMES[first], workspace)
    )
    return LlmKeyRequiredError(
        f"No LLM key found for: {', '.join(tried)}", hint=f"{remedy}, or give --key KEY --provider {first}"
    )


def _set_command(name: str, workspace: str) -> str:
    return f"orch secrets set {name}" + (f" --workspace {workspace}" if workspace != "default" else "")
