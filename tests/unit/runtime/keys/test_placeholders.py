"""Placeholders: of the shape that clients check for, unguessable, and no two alike."""

from __future__ import annotations

import re

import pytest

from proxy.contract.grant import GrantSecret
from runtime.errors import InvalidInputError
from runtime.keys.placeholders import deliver, environment_of, placeholder_for
from runtime.model.secret import Secret

VALUE = "sk-true-" + "v" * 90
SHAPES = {
    "OPENAI_API_KEY": r"sk-[A-Za-z0-9]{32,}",
    "ANTHROPIC_API_KEY": r"sk-ant-api03-[A-Za-z0-9]{32,}",
    "GEMINI_API_KEY": r"AIza[A-Za-z0-9]{35}",
    "GITHUB_TOKEN": r"orchbox-[A-Za-z0-9]{32,}",
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("size", [1, 39, 98, 5000])
def test_a_placeholder_has_the_shape_that_clients_check_for(name: str, size: int) -> None:
    """Whatever the value's own length; and a grant takes it."""
    made = placeholder_for(name, Secret("v" * size))
    assert re.fullmatch(SHAPES[name], made)
    assert GrantSecret(name, VALUE, made).placeholder == made
    assert len(made) < 300


@pytest.mark.parametrize(
    ("name", "value"), [("OPENAI_API_KEY", VALUE), ("GEMINI_API_KEY", "AIza" + "v" * 35)]
)
def test_it_is_as_long_as_a_real_key(name: str, value: str) -> None:
    """What an upstream reflects can then be swapped back at its length."""
    assert len(placeholder_for(name, Secret(value))) == len(value)


def test_no_two_are_alike() -> None:
    """Not between runs, not between secrets."""
    made = {placeholder_for(name, Secret(VALUE)) for name in SHAPES for _ in range(50)}
    assert len(made) == 50 * len(SHAPES)


def test_what_a_rule_binds_is_brokered_and_the_rest_is_given() -> None:
    """The env file never holds a brokered value."""
    delivered = deliver(
        {"OPENAI_API_KEY": Secret(VALUE), "DB": Secret("db-value")}, frozenset({"OPENAI_API_KEY"})
    )
    environment = environment_of(delivered)

    assert [(s.name, s.value, s.placeholder is None) for s in delivered] == [
        ("OPENAI_API_KEY", VALUE, False),
        ("DB", "db-value", True),
    ]
    assert environment["DB"].reveal() == "db-value"
    assert environment["OPENAI_API_KEY"].reveal() == delivered[0].placeholder
    assert VALUE not in f"{delivered!r} {environment!r}"


@pytest.mark.parametrize("value", [VALUE + "\nx: y", "", VALUE + "é", "v" * 70_000])
def test_a_value_that_cannot_be_brokered_is_refused_without_it(value: str) -> None:
    """The message names the secret and repeats nothing of it."""
    with pytest.raises(InvalidInputError) as caught:
        deliver({"OPENAI_API_KEY": Secret(value)}, frozenset({"OPENAI_API_KEY"}))
    assert caught.value.message.startswith("secret OPENAI_API_KEY: ")
    assert "true" not in caught.value.message
