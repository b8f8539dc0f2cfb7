"""`llm_credentials` never stays in the document, and is used as the flags would be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.errors import InvalidInputError
from runtime.keys.llm_credentials import apply_credentials, take_credentials
from runtime.model.needs import Needs
from runtime.model.secret import Secret

MARKER = "marker-c41-value"
GOOD = {"api_key": MARKER, "provider": "gemini", "model": "m"}
FILES = [{"path": "/tmp/uploads/a", "original_name": "a"}]


@pytest.mark.parametrize(
    ("document", "rest"),
    [
        ({"llm_credentials": GOOD}, {}),
        ({"q": [1], "llm_credentials": GOOD}, {"q": [1]}),
        (
            {"files": FILES, "metadata": {"k": 1, "llm_credentials": GOOD}},
            {"files": FILES, "metadata": {"k": 1}},
        ),
        ({"metadata": {"llm_credentials": GOOD}}, {"metadata": {}}),
        ({"llm_credentials": GOOD, "metadata": {"llm_credentials": {"api_key": MARKER}}}, {"metadata": {}}),
    ],
)
def test_the_field_is_taken_out(document: dict[str, Any], rest: dict[str, Any]):
    """At the top and in the metadata of a document of files; what is left is the agent's."""
    text, found = take_credentials(json.dumps(document))

    assert json.loads(text) == rest
    assert MARKER not in text
    assert found is not None
    assert (found.key.reveal(), found.provider, found.model) == (MARKER, "gemini", "m")
    assert MARKER not in repr(found)


def test_a_key_that_stands_twice_is_taken_out_twice():
    """JSON with the same name two times keeps neither."""
    text, _ = take_credentials(
        f'{{"llm_credentials": "{MARKER}", "llm_credentials": {json.dumps(GOOD)}, "a": 1}}'
    )

    assert json.loads(text) == {"a": 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{oops",
        "[1]",
        '"llm_credentials"',
        "null",
        "5",
        '{"a":  1.10}',
        '{"metadata": 3}',
        '{"x": {"llm_credentials": 1}}',
    ],
)
def test_everything_else_stays_as_it_is(text: str):
    """Byte for byte: no object, no such field, or one that is the agent's own, deeper."""
    assert take_credentials(text) == (text, None)


def test_null_is_no_credential():
    """It is taken out all the same."""
    assert take_credentials('{"llm_credentials": null, "a": 1}') == ('{"a": 1}', None)


BAD: dict[str, Any] = {
    "a text": MARKER,
    "a list": [MARKER],
    "no key": {"provider": "openai"},
    "an empty key": {"api_key": " ", "provider": "openai"},
    "a key with a line": {"api_key": f"{MARKER}\n", "provider": "openai"},
    "a key that is no text": {"api_key": [MARKER], "provider": "openai"},
    "no provider": {"api_key": MARKER},
    "an unknown provider": {"api_key": MARKER, "provider": MARKER},
    "a provider that is no text": {"api_key": MARKER, "provider": [MARKER]},
    "ollama": {"api_key": MARKER, "provider": "ollama"},
    "a model that is no text": {"api_key": MARKER, "provider": "openai", "model": [MARKER]},
    "an unknown field": {**GOOD, MARKER: 1},
}


@pytest.mark.parametrize("case", BAD)
def test_malformed_credentials_are_refused_and_not_repeated(case: str):
    """A 400 that names the field; nothing of the value."""
    with pytest.raises(InvalidInputError, match="llm_credentials") as told:
        take_credentials(json.dumps({"llm_credentials": BAD[case]}))

    assert told.value.status == 400
    assert MARKER not in f"{told.value.message}{told.value.hint}{told.value!r}"
    assert told.value.__cause__ is None


@pytest.mark.parametrize(
    "text",
    [
        '{"llm_credentials": {"api_key": "x"}, "a": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"llm_credentials": {"api_key": "x"}, "a": ' + "9" * 5000 + "}",
        '{"llm\\u005fcredentials": 1, "a": ' + "9" * 5000 + "}",
    ],
    ids=["too deep", "too long a number", "escaped"],
)
def test_what_cannot_be_searched_is_not_passed_on(text: str):
    """JSON that Python does not read, and an agent may."""
    with pytest.raises(InvalidInputError, match="cannot be searched"):
        take_credentials(text)


def test_they_come_before_everything_else():
    """As --key, --provider and --model do."""
    _, found = take_credentials(json.dumps({"llm_credentials": GOOD}))
    needs = Needs(providers=("any",), provider="openai", model="other")

    chosen, secrets = apply_credentials(found, needs, {"GEMINI_API_KEY": Secret("old"), "X": Secret("x")})

    assert (chosen.provider, chosen.model, chosen.providers) == ("gemini", "m", ("any",))
    assert {n: s.reveal() for n, s in secrets.items()} == {"GEMINI_API_KEY": MARKER, "X": "x"}
    assert apply_credentials(None, needs, {}) == (needs, {})
