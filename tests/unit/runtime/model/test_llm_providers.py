"""Providers and models: the platform's tables."""

from __future__ import annotations

import re

import pytest

from runtime.model.llm_providers import (
    HOSTED,
    KEY_NAMES,
    PROVIDERS,
    TABLE,
    check_provider,
    check_supported,
    expand,
    known_model,
    provider_with_key_shape,
    split_model,
)


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


def test_no_two_rows_share_what_must_tell_them_apart():
    """Names, keys and hosts; and a row's default model is of its own family."""
    rows = tuple(HOSTED.values())

    assert sorted(PROVIDERS) == sorted({row.name for row in TABLE})
    assert len({row.key_name for row in rows}) == len({row.endpoint.host for row in rows}) == len(rows)
    assert [split_model(row.default_model)[0] for row in rows] == [row.name for row in rows]


def test_every_model_belongs_to_one_family_at_most():
    """A bare model's provider does not depend on the order of the rows."""
    for row in HOSTED.values():
        owners = [other.name for other in HOSTED.values() if re.fullmatch(other.family, row.default_model)]
        assert owners == [row.name]


@pytest.mark.parametrize("name", ["acme", "", "OpenAI"])
def test_an_unknown_name_is_refused_and_not_repeated(name: str):
    """The names that there are come with it."""
    for check in (check_provider, check_supported):
        with pytest.raises(ValueError, match="none of openai, anthropic, gemini, ollama"):
            check(name)


def test_any_is_an_entry_and_no_provider():
    """`--provider any` would choose nothing."""
    assert (check_supported("any"), check_provider("ollama")) == ("any", "ollama")
    with pytest.raises(ValueError, match="none of"):
        check_provider("any")


def test_other_secrets_that_hold_a_providers_key_have_its_shape():
    """Google's own clients read a second name."""
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        assert provider_with_key_shape(name) is HOSTED["gemini"]
    assert provider_with_key_shape("DATABASE_URL") is None
