"""Providers of LLMs: one row each, and what follows from the rows. Pure.

A new provider is one row of `TABLE` and one rule of `policies/llm-only.yaml`, which opens its host and binds
its key there. Only a way to speak that no other provider has needs code: a `Dialect` and its entry in
`runtime.llm.upstream.providers`. Names, models and the order of `any` are the platform's (docs.orchagent.io:
BYOK, manifest format).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from runtime.model.llm_provider import Dialect, Endpoint, HostedProvider, LocalProvider

TABLE: tuple[HostedProvider | LocalProvider, ...] = (
    HostedProvider(
        name="openai",
        default_model="gpt-5.2",
        family=r"(gpt-|chatgpt-|o[134](-|$)).*",
        key_name="OPENAI_API_KEY",
        key_start="sk-",
        endpoint=Endpoint("api.openai.com", path="/v1"),
        dialect=Dialect.OPENAI,
    ),
    HostedProvider(
        name="anthropic",
        default_model="claude-opus-4-5-20251101",
        family=r"claude-.+",
        key_name="ANTHROPIC_API_KEY",
        key_start="sk-ant-api03-",
        endpoint=Endpoint("api.anthropic.com"),
        dialect=Dialect.ANTHROPIC,
    ),
    HostedProvider(
        name="gemini",
        default_model="gemini-2.5-pro",
        family=r"gemini-.+",
        key_name="GEMINI_API_KEY",
        key_start="AIza",
        key_chars=39,
        key_aliases=("GOOGLE_API_KEY",),
        endpoint=Endpoint("generativelanguage.googleapis.com", path="/v1beta/openai"),
        dialect=Dialect.OPENAI_COMPATIBLE,
        price_list="google",
    ),
    LocalProvider(
        name="ollama",
        default_model="llama3.2",
        url_variable="OLLAMA_HOST",
        url="http://localhost:11434/v1",
    ),
)
"""In the order in which `any` tries them."""

MAX_MODEL_CHARS = 200
"""Of a model's name, or of an entry that names one with its provider."""
ANY = "any"
"""In `supported_providers`: all of them."""
HOSTED: Mapping[str, HostedProvider] = MappingProxyType(
    {row.name: row for row in TABLE if isinstance(row, HostedProvider)}
)
"""Those with a key, which the daemon reaches; by name."""
LOCAL: Mapping[str, LocalProvider] = MappingProxyType(
    {row.name: row for row in TABLE if isinstance(row, LocalProvider)}
)
"""Those without a key, which only an agent on the caller's own machine reaches; by name."""
PROVIDERS = tuple(row.name for row in TABLE)
DEFAULT_MODELS: Mapping[str, str] = MappingProxyType({row.name: row.default_model for row in TABLE})
KEY_NAMES: Mapping[str, str] = MappingProxyType({name: row.key_name for name, row in HOSTED.items()})
PROVIDER_OF_KEY: Mapping[str, str] = MappingProxyType({row.key_name: name for name, row in HOSTED.items()})
_FAMILIES = tuple((re.compile(row.family), row.name) for row in HOSTED.values())


def provider_with_key_shape(key_name: str) -> HostedProvider | None:
    """The provider whose keys look like the secret of this name; None for any other secret."""
    return next((row for row in HOSTED.values() if key_name in (row.key_name, *row.key_aliases)), None)


def check_provider(name: str) -> str:
    """The name of a provider. Raises ValueError listing those that there are."""
    if name not in PROVIDERS:
        raise ValueError(f"none of {', '.join(PROVIDERS)}")
    return name


def check_supported(entry: str) -> str:
    """An entry of `supported_providers`. Raises ValueError listing those that there are."""
    if entry != ANY and entry not in PROVIDERS:
        raise ValueError(f"none of {', '.join((*PROVIDERS, ANY))}")
    return entry


def split_model(entry: str) -> tuple[str | None, str]:
    """`provider/model`, `provider:model` or a bare model whose name tells its provider.

    None for a provider that cannot be told. Raises ValueError where no model is named.
    """
    head, separator, rest = entry.partition("/")
    if head not in PROVIDERS or not separator:
        head, separator, rest = entry.partition(":")
    if head in PROVIDERS and separator:
        if not rest.strip():
            raise ValueError(f"names no model of {head}")
        return head, rest
    if not entry.strip():
        raise ValueError("names no model")
    family = next((provider for pattern, provider in _FAMILIES if pattern.fullmatch(entry)), None)
    return family, entry


def known_model(entry: str) -> tuple[str, str]:
    """As `split_model`. Raises ValueError too where the provider cannot be told; repeats nothing."""
    provider, model = split_model(entry)
    if provider is None:
        raise ValueError("is no model whose provider is known: write provider/model, as in openai/NAME")
    return provider, model


def expand(supported: Iterable[str], *, is_local: bool) -> tuple[str, ...]:
    """The providers meant, in the order they are tried: `any` is all; LOCAL ones count on local runs only."""
    meant = [name for entry in supported for name in (PROVIDERS if entry == ANY else (entry,))]
    return tuple(dict.fromkeys(name for name in meant if is_local or name not in LOCAL))
