"""Which secrets a run gets, from where, and what is said when they are missing."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.errors import InvalidInputError, LlmKeyRequiredError, MissingSecretsError
from runtime.keys.settle import Settled, check_choice, gather, providers_of, settle, wanted
from runtime.model.llm_providers import DEFAULT_MODELS
from runtime.model.needs import LlmChain, Needs
from runtime.model.secret import Secret

MARKER = "marker-7b1-value"
O, A, G = "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"  # noqa: E741


def secrets(**values: str) -> dict[str, Secret]:
    """Secrets of these values."""
    return {name: Secret(value) for name, value in values.items()}


def clear(settled: Settled) -> dict[str, str]:
    """The values."""
    return {name: secret.reveal() for name, secret in settled.secrets.items()}


def settled(needs: Needs, *, stored: dict[str, str] | None = None, is_local: bool = False, **given: str):
    """Settle a run of the default workspace."""
    return settle(
        needs,
        secrets(**given),
        secrets(**(stored or {})),
        workspace=None if is_local else "default",
        is_local=is_local,
    )


# -- what the caller has -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "environment", "dotenv", "expected"),
    [
        (None, {}, {}, {}),
        (None, {}, {O: "file"}, {O: "file"}),
        (None, {O: "env"}, {O: "file"}, {O: "env"}),
        (None, {O: ""}, {O: "file"}, {O: "file"}),
        ("flag", {O: "env"}, {O: "file"}, {O: "flag"}),
        ("flag", {}, {}, {O: "flag"}),
    ],
)
def test_precedence_is_flag_environment_dotenv(
    key: str | None, environment: dict[str, str], dotenv: dict[str, str], expected: dict[str, str]
):
    """--key wins over the environment, which wins over .env where it is not empty."""
    needs = Needs(providers=("openai",), provider="openai")

    found = gather(needs, key=key, environment=environment, dotenv=dotenv)

    assert {name: secret.reveal() for name, secret in found.items()} == expected


def test_only_declared_names_leave():
    """What the manifest does not declare stays, whatever the environment and .env hold."""
    needs = Needs(required=("NEEDED",), optional=("NICE", "ABSENT"))
    environment = {"NICE": "3", "AWS_SECRET_ACCESS_KEY": "4", O: "5"}

    found = gather(needs, key=None, environment=environment, dotenv={"OTHER": "1", "NEEDED": "2"})

    assert set(found) == {"NEEDED", "NICE"}


@pytest.mark.parametrize(
    ("needs", "names"),
    [
        (Needs(), set()),
        (Needs(required=("X",), optional=("Y",)), {"X", "Y"}),
        (Needs(providers=("any",)), {O, A, G}),
        (Needs(providers=("anthropic", "ollama")), {A}),
        (Needs(providers=("any",), provider="gemini"), {G}),
        (Needs(providers=("any",), provider="ollama"), set()),
        (Needs(providers=("openai",), llm=LlmChain("gemini-2.5-flash", ("gpt-4o-mini",))), {O, G}),
        (Needs(provider="openai", llm=LlmChain("gemini-2.5-flash", ("claude-3-haiku",))), {O, G, A}),
    ],
)
def test_wanted_names(needs: Needs, names: set[str]):
    """Declared names, and the keys of the providers that count: the chosen one's and the chain's, or all."""
    assert wanted(needs) == names


# -- what a run gets ---------------------------------------------------------------------------------


def test_given_wins_over_stored():
    """The caller's own value, then the vault's; each only where it is declared."""
    needs = Needs(required=("ONE", "TWO"), providers=("openai",))

    found = settled(needs, stored={"ONE": "vault", "TWO": "vault", O: "vault", "UNDECLARED": "x"}, ONE="mine")

    assert clear(found) == {"ONE": "mine", "TWO": "vault", O: "vault"}


def test_given_keys_of_other_providers_are_dropped():
    """With --provider only its key and the chain's reach the agent; other secrets that were given stay."""
    given = {O: "o", A: "a", G: "g", "EXTRA": "e"}

    assert clear(settled(Needs(providers=("any",), provider="gemini"), **given)) == {G: "g", "EXTRA": "e"}
    chain = Needs(providers=("any",), provider="gemini", llm=LlmChain("gpt-4o"))
    assert clear(settled(chain, **given)) == {O: "o", G: "g", "EXTRA": "e"}
    assert clear(settled(Needs(), **given)) == given


def test_a_declared_key_is_no_surplus():
    """A key that the manifest names as a secret arrives whatever provider is chosen."""
    needs = Needs(required=(O,), providers=("openai", "gemini"), provider="gemini")

    assert clear(settled(needs, **{O: "o", G: "g"})) == {O: "o", G: "g"}


PROVIDER_CASES: dict[str, tuple[Needs, dict[str, str], bool, tuple[str | None, str | None]]] = {
    "the first with a key": (
        Needs(providers=("any",)), {G: "g", A: "a"}, False, ("anthropic", DEFAULT_MODELS["anthropic"])
    ),
    "in the manifest's order": (
        Needs(providers=("gemini", "openai")), {O: "o", G: "g"}, False, ("gemini", DEFAULT_MODELS["gemini"])
    ),
    "one with a key is enough": (
        Needs(providers=("openai", "gemini")), {G: "g"}, False, ("gemini", DEFAULT_MODELS["gemini"])
    ),
    "the caller's": (
        Needs(providers=("any",), provider="openai"), {O: "o"}, False, ("openai", DEFAULT_MODELS["openai"])
    ),
    "the author's model": (
        Needs(providers=("openai",), default_models={"openai": "gpt-x", "gemini": "y"}),
        {O: "o"}, False, ("openai", "gpt-x"),
    ),
    "the caller's model": (
        Needs(providers=("openai",), model="mine", default_models={"openai": "gpt-x"}),
        {O: "o"}, False, ("openai", "mine"),
    ),
    "a model alone": (Needs(model="mine"), {}, False, (None, "mine")),
    "the chain's primary": (
        Needs(providers=("openai",), llm=LlmChain("gemini-2.5-flash", ("gpt-4o-mini",))),
        {O: "o", G: "g"}, False, ("gemini", "gemini-2.5-flash"),
    ),
    "the chain's first with a key": (
        Needs(llm=LlmChain("gemini-2.5-flash", ("gpt-4o-mini", "gpt-x"))),
        {O: "o"}, False, ("openai", "gpt-4o-mini"),
    ),
    "the chain wins over default_models": (
        Needs(llm=LlmChain("openai/a"), default_models={"openai": "b"}), {O: "o"}, False, ("openai", "a"),
    ),
    "ollama last, on a local run": (
        Needs(providers=("any",)), {}, True, ("ollama", DEFAULT_MODELS["ollama"])
    ),
    "a key before ollama": (
        Needs(providers=("any",)), {G: "g"}, True, ("gemini", DEFAULT_MODELS["gemini"])
    ),
    "ollama by choice": (
        Needs(providers=("any",), provider="ollama"), {O: "o"}, True, ("ollama", DEFAULT_MODELS["ollama"])
    ),
    "no provider, no key": (Needs(), {}, False, (None, None)),
}  # fmt: skip


@pytest.mark.parametrize("case", PROVIDER_CASES)
def test_provider_and_model(case: str):
    """LLM_PROVIDER is the first with a key; LLM_MODEL the caller's, the author's, the platform's."""
    needs, given, is_local, (provider, model) = PROVIDER_CASES[case]

    env = settled(needs, is_local=is_local, **given).env

    assert (env.get("LLM_PROVIDER"), env.get("LLM_MODEL")) == (provider, model)


# -- what is refused ---------------------------------------------------------------------------------


def test_missing_secrets_name_their_remedy():
    """All missing names up to the first dot, as the platform's CLI reads them; one command for each."""
    needs = Needs(required=("A_KEY", "B_KEY", "C_KEY"))

    with pytest.raises(MissingSecretsError) as told:
        settled(needs, B_KEY=MARKER)

    assert told.value.reported_code == "MISSING_SECRETS"
    assert told.value.message.partition("not found in workspace: ")[2].partition(".")[0] == "A_KEY, C_KEY"
    assert told.value.hint == "orch secrets set A_KEY\norch secrets set C_KEY"
    assert MARKER not in f"{told.value.message}{told.value.hint}"


def test_another_workspace_is_named():
    """The command sets the secret where it is looked for."""
    with pytest.raises(MissingSecretsError) as told:
        settle(Needs(required=("A_KEY",)), {}, {}, workspace="team")

    assert told.value.hint == "orch secrets set A_KEY --workspace team"


def test_missing_secrets_of_a_local_run_are_exported():
    """There is no vault to put them into."""
    with pytest.raises(MissingSecretsError, match=r"environment: A_KEY, B_KEY\.") as told:
        settled(Needs(required=("A_KEY", "B_KEY")), is_local=True)

    assert "export A_KEY=...; export B_KEY=..." in str(told.value.hint)


@pytest.mark.parametrize(
    ("needs", "is_local", "message", "command"),
    [
        (Needs(providers=("anthropic", "openai")), False, "anthropic, openai", f"orch secrets set {A}"),
        (Needs(providers=("any",)), False, "openai, anthropic, gemini", f"orch secrets set {O}"),
        (Needs(providers=("any",), provider="gemini"), False, "gemini", f"orch secrets set {G}"),
        (Needs(llm=LlmChain("gemini-x")), False, "gemini", f"orch secrets set {G}"),
        (Needs(providers=("openai", "ollama")), False, "openai", f"orch secrets set {O}"),
        (Needs(providers=("gemini",)), True, "gemini", f"export {G}=..."),
    ],
)
def test_missing_llm_key_names_its_remedy(needs: Needs, is_local: bool, message: str, command: str):
    """The providers that were tried, and the exact command."""
    with pytest.raises(LlmKeyRequiredError) as told:
        settled(needs, is_local=is_local)

    assert told.value.reported_code == "LLM_KEY_REQUIRED"
    assert told.value.message == f"No LLM key found for: {message}"
    assert str(told.value.hint).startswith(command)
    assert "--key KEY --provider" in str(told.value.hint)


@pytest.mark.parametrize(
    "needs",
    [
        Needs(providers=("ollama",)),
        Needs(providers=("any",), provider="ollama"),
        Needs(llm=LlmChain("ollama/llama3.2")),
    ],
)
def test_ollama_is_refused_on_a_server_run(needs: Needs):
    """With the reason and the way that works; on a local run it is taken without a key."""
    with pytest.raises(InvalidInputError, match="own machine") as told:
        settled(needs)

    assert "--local" in str(told.value.hint)
    assert settled(needs, is_local=True).env["LLM_PROVIDER"] == "ollama"


def test_an_unsupported_provider_is_refused():
    """By the daemon too, which may be asked without the CLI."""
    with pytest.raises(InvalidInputError, match="supports openai"):
        settled(Needs(providers=("openai",), provider="gemini"), **{G: "g"})


def test_a_provider_of_the_chain_is_supported():
    """Whatever supported_providers says."""
    needs = Needs(providers=("openai",), provider="gemini", llm=LlmChain("gemini-x"))

    assert providers_of(needs) == ("gemini", "openai")
    assert settled(needs, **{G: "g"}).env["LLM_PROVIDER"] == "gemini"


@pytest.mark.parametrize(
    ("key", "provider", "is_local", "words"),
    [
        ("k", None, False, "--provider"),
        ("", "openai", False, "--key is empty"),
        ("a\0b", "openai", False, "--key"),
        ("k", "gemini", False, "this agent supports openai, ollama"),
        ("k", "ollama", True, "takes no key"),
        (None, "ollama", False, "own machine"),
    ],
)
def test_bad_flags_are_refused(key: str | None, provider: Any, is_local: bool, words: str):
    """A flag that cannot be meant is one clear error."""
    with pytest.raises(InvalidInputError, match=words):
        check_choice(Needs(providers=("openai", "ollama"), provider=provider), key=key, is_local=is_local)


def test_a_provider_for_an_agent_without_one_is_refused():
    """It would do nothing."""
    with pytest.raises(InvalidInputError, match="no provider"):
        check_choice(Needs(provider="openai"), key=None)
