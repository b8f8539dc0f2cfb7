"""What is tried for what is asked: names, keys, and which failures go on."""

from __future__ import annotations

import pytest

from runtime.llm.plan.chain import (
    FailureKind,
    NoRouteError,
    Route,
    is_retryable,
    parse_chain,
    parse_route,
    plan,
)

A, B, C = Route("openai", "gpt-a"), Route("anthropic", "claude-b"), Route("gemini", "gemini-c")
GOES_ON = {
    FailureKind.RATE_LIMITED,
    FailureKind.SERVER_ERROR,
    FailureKind.TIMEOUT,
    FailureKind.CONNECTION_ERROR,
}


@pytest.mark.parametrize("kind", FailureKind)
def test_what_goes_on_is_a_closed_set(kind: FailureKind) -> None:
    """A kind that is added later stops until it is listed."""
    assert is_retryable(kind) is (kind in GOES_ON)


@pytest.mark.parametrize(
    ("entry", "route"),
    [
        ("openai/gpt-5", Route("openai", "gpt-5")),
        ("openai:gpt-5", Route("openai", "gpt-5")),
        ("gpt-5", Route("openai", "gpt-5")),
        ("claude-opus-4-5", Route("anthropic", "claude-opus-4-5")),
        ("gemini/gemini-2.5-pro", Route("gemini", "gemini-2.5-pro")),
        ("openai/llama", Route("openai", "llama")),
        ("openai/ft:gpt-4o:acme::x", Route("openai", "ft:gpt-4o:acme::x")),
    ],
)
def test_an_entry_names_provider_and_model(entry: str, route: Route) -> None:
    """By prefix, or by the model's own name."""
    assert route == parse_route(entry)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "llama3.2",
        "mistral/x",
        "ollama/llama3.2",
        "openai/",
        "openai/a b",
        "gpt-\n",
        "gpt-é",
        "gpt-" + "x" * 200,
    ],
)
def test_what_names_no_model_is_refused(entry: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(NoRouteError, match="write provider/model"):
        parse_route(entry)


def test_a_chain_has_each_route_once() -> None:
    """In the order of the manifest."""
    chain = parse_chain("gpt-a", ("claude-b", "openai/gpt-a", "gemini-c"))

    assert chain == (A, B, C)
    assert parse_chain(None) == ()


@pytest.mark.parametrize(
    ("asked", "unusable", "attempts", "skipped"),
    [
        ("default", "", (A, B, C), []),
        ("default", "A", (B, C), [(A, B)]),
        ("default", "B", (A, C), [(B, C)]),
        ("default", "C", (A, B), [(C, None)]),
        ("default", "AB", (C,), [(A, C), (B, C)]),
        ("claude-b", "", (B,), []),
        ("openai/other", "", (Route("openai", "other"),), []),
    ],
)
def test_a_plan(asked: str, unusable: str, attempts: tuple, skipped: list) -> None:
    """The chain for `default`, one route for a name; what has no key is named with what follows."""
    without = {{"A": A, "B": B, "C": C}[letter] for letter in unusable}

    made = plan(asked, (A, B, C), lambda route: "no_key" if route in without else None)

    assert made.attempts == attempts
    assert [(skip.route, skip.then) for skip in made.skipped] == skipped


@pytest.mark.parametrize(
    ("asked", "chain", "reason", "code"),
    [
        ("default", (), None, "model_not_found"),
        ("default", (A, B), "no_key", "llm_key_required"),
        ("default", (A, B), "no_price", "no_price"),
        ("claude-b", (A,), "no_key", "llm_key_required"),
        ("x", (A,), None, "model_not_found"),
    ],
)
def test_nothing_left_to_ask(asked: str, chain: tuple, reason: str | None, code: str) -> None:
    """A clear error, with what was skipped."""
    with pytest.raises(NoRouteError) as caught:
        plan(asked, chain, lambda _: reason)

    assert caught.value.code == code
