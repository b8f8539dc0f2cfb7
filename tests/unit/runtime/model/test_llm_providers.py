"""Providers and models: the platform's tables."""

from __future__ import annotations

import pytest

from runtime.model.llm_providers import KEY_NAMES, expand, known_model, split_model


@pytest.mark.parametrize(
    ("entry", "provider", "model"),
    [
        ("gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("chatgpt-4o-latest", "openai", "chatgpt-4o-latest"),
        ("o1", "openai", "o1"),
        ("o3-mini", "openai", "o3-mini"),
        ("o4-mini", "openai", "o4-mini"),
        ("claude-3-haiku", "anthropic", "claude-3-haiku"),
        ("gemini-2.5-flash", "gemini", "gemini-2.5-flash"),
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("openai:gpt-4o", "openai", "gpt-4o"),
        ("anthropic/claude-x", "anthropic", "claude-x"),
        ("openai/ft:gpt-4o:acme", "openai", "ft:gpt-4o:acme"),
        ("ollama:llama3.2", "ollama", "llama3.2"),
        ("ollama/qwen:7b", "ollama", "qwen:7b"),
        ("openai:claude-3", "openai", "claude-3"),
        ("llama3.2", None, "llama3.2"),
        ("mistral/large", None, "mistral/large"),
        ("o1x", None, "o1x"),
        ("ollama", None, "ollama"),
        ("gpt", None, "gpt"),
    ],
)
def test_the_provider_is_named_or_told_by_the_model(entry: str, provider: str | None, model: str):
    """A named provider wins over the model's name; an unknown family is no provider."""
    assert split_model(entry) == (provider, model)


@pytest.mark.parametrize("entry", ["", "  ", "openai/", "openai:", "gemini/ "])
def test_an_entry_without_a_model_is_refused(entry: str):
    """There is nothing to ask for."""
    with pytest.raises(ValueError, match="names no model"):
        split_model(entry)


def test_an_unknown_provider_is_refused_where_one_is_needed():
    """The text says how to name it, and repeats nothing."""
    with pytest.raises(ValueError, match="provider/model") as told:
        known_model("marker-9d2")

    assert "marker" not in str(told.value)


def test_any_is_tried_in_the_platforms_order():
    """openai, anthropic, gemini, and ollama on a local run."""
    assert expand(["any"], is_local=True) == ("openai", "anthropic", "gemini", "ollama")
    assert expand(["any"], is_local=False) == tuple(KEY_NAMES) == ("openai", "anthropic", "gemini")
    assert expand(["gemini", "any", "gemini"], is_local=False) == ("gemini", "openai", "anthropic")
    assert expand(["ollama"], is_local=False) == ()
