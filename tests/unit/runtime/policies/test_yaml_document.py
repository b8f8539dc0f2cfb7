"""Strict YAML: every part has its line, and what has two readings is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.policies.yaml_document import YamlError, field_name, read_yaml


def test_every_part_of_a_document_has_its_line() -> None:
    """Messages can name the line of any key or item, and of the nearest that is there."""
    document = read_yaml("a: 1\nb:\n  - x\n  - c: true\n    d: {e: text}\n")
    assert document.data == {"a": 1, "b": ["x", {"c": True, "d": {"e": "text"}}]}
    places = [
        ("a",),
        ("b",),
        ("b", 0),
        ("b", 1),
        ("b", 1, "d"),
        ("b", 1, "d", "e"),
        ("b", 1, "absent"),
        ("z",),
    ]
    assert [document.line_of(place) for place in places] == [1, 2, 3, 4, 5, 5, 4, 1]


@pytest.mark.parametrize(
    ("place", "name"),
    [((), ""), (("a",), "a"), (("a", 0, "b"), "a[0].b"), (("a", "b.test", 1), "a.b.test[1]")],
)
def test_a_place_is_named_as_in_the_file(place: tuple, name: str) -> None:
    """Keys are joined by dots, indexes stand in brackets."""
    assert name == field_name(place)


@pytest.mark.parametrize(
    "text",
    [
        "a: 0x10",
        "a: 1_000",
        "a: 010",
        "a: 1:30",
        "a: 1.5e+3",
        "a: .5",
        "a: 01.5",
        "a: .inf",
        "a: .nan",
        "a: 2026-01-01",
        "a: on",
        "a: True",
        "a: ~",
        "a: !!binary x",
    ],
)
def test_a_scalar_with_two_readings_is_refused(text: str) -> None:
    """Numbers are decimal, truth is true or false, the rest is text."""
    with pytest.raises(YamlError) as caught:
        read_yaml(text)
    assert (caught.value.line, caught.value.field) == (1, "a")


@pytest.mark.parametrize("text", ["1.5", "-0.10", "2.50", "0.000001"])
def test_a_fraction_is_read_as_it_is_written(text: str) -> None:
    """Not as the nearest binary fraction."""
    value = read_yaml(f"a: {text}").data["a"]

    assert (Decimal, text) == (type(value), str(value))


@pytest.mark.parametrize(
    "text",
    ["[" * 2000, "a: " + "{b: " * 2000, "a\x00", "\x1b[2J", "&a a: *a", "? [a]\n: b", "<<: {a: b}\na: !x y"],
)
def test_hostile_yaml_is_one_clear_error(text: str) -> None:
    """Depth, control characters, aliases, odd keys and tags end in a YamlError."""
    with pytest.raises(YamlError):
        read_yaml(text)


@given(st.text())
def test_any_text_is_a_document_or_a_yaml_error(text: str) -> None:
    """No input raises anything else."""
    try:
        read_yaml(text)
    except YamlError:
        return


@pytest.mark.parametrize("number", ["1" * 5000, "-" + "9" * 41, "0." + "1" * 5000])
def test_a_number_that_is_too_long_is_named(number: str):
    """By its line and length, not by Python's own error, and without its digits."""
    with pytest.raises(YamlError, match=r"a number of \d+ characters") as told:
        read_yaml(f"version: 1\nbudget: {number}\n")

    assert (told.value.line, told.value.field) == (2, "budget")
    assert "111" not in str(told.value)
