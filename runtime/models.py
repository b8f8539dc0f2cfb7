"""How an entry of a manifest or a request names a model. Pure.

split_model("openai/gpt-5-mini")  -> ("openai", "gpt-5-mini")
split_model("claude-opus-4-5")    -> ("anthropic", "claude-opus-4-5")
split_model("llama3.2")           -> (None, "llama3.2")
"""

from __future__ import annotations

import re

PROVIDERS = ("openai", "anthropic", "gemini")

_BY_NAME = (
    (re.compile(r"(ft:)?(gpt-|chatgpt-|o[134](-|$))"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"gemini-"), "gemini"),
)


def split_model(entry: str) -> tuple[str | None, str]:
    """Provider and model; without a prefix the model's own name tells the provider, or nothing does.

    Only a known provider is a prefix: names hold colons and slashes of their own (`ft:gpt-4o:acme`).
    """
    for provider in PROVIDERS:
        for separator in ("/", ":"):
            if entry.startswith(provider + separator):
                return provider, entry[len(provider) + 1 :]
    named = (provider for pattern, provider in _BY_NAME if pattern.match(entry))
    return next(named, None), entry
