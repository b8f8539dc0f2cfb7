"""Providers of LLMs: their keys' names, their default models, and which one a model belongs to. Pure.

The tables are the platform's (docs.orchagent.io: BYOK, manifest format).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Provider = Literal["openai", "anthropic", "gemini", "ollama"]
SupportedProvider = Literal["openai", "anthropic", "gemini", "any", "ollama"]

KEY_NAMES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY"}
"""In the order in which `any` tries them."""
OLLAMA = "ollama"
"""Needs no key, and runs on the caller's own machine only."""
PROVIDERS = (*KEY_NAMES, OLLAMA)
OLLAMA_HOST = "http://localhost:11434/v1"
DEFAULT_MODELS = {
    "anthropic": "claude-opus-4-5-20251101",
    "openai": "gpt-5.2",
    "gemini": "gemini-2.5-pro",
    "ollama": "llama3.2",
}
_FAMILIES = (
    (re.compile(r"(gpt-|chatgpt-|o[134](-|$)).*"), "openai"),
    (re.compile(r"claude-.+"), "anthropic"),
    (re.compile(r"gemini-.+"), "gemini"),
)


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
    """The providers meant, in the order they are tried: `any` is all; ollama counts on a local run only."""
    meant = [name for entry in supported for name in (PROVIDERS if entry == "any" else (entry,))]
    return tuple(dict.fromkeys(name for name in meant if is_local or name != OLLAMA))
