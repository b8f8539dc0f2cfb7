"""What is said of a JSON body that does not fit its model."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict

from runtime.api.json_body import parse_body
from runtime.errors import InvalidInputError

MARKER = "marker-83f"


class Body(BaseModel):
    """A body of two fields."""

    model_config = ConfigDict(extra="forbid")

    name: str
    size: int = 0


def test_a_body_that_fits_is_its_model():
    """Text and bytes alike."""
    assert parse_body('{"name": "a", "size": 2}', Body) == Body(name="a", size=2)
    assert parse_body(b'{"name": "a"}', Body, part="request") == Body(name="a")


CASES = {
    "a field's value": (f'{{"name": "a", "size": "{MARKER}"}}', "size: "),
    "a missing field": ("{}", "name: Field required"),
    "an unknown field": (f'{{"name": "a", "{MARKER}": 1}}', "{whole}: expected a JSON object of name, size"),
    "no object": (f'["{MARKER}"]', "{whole}: expected a JSON object of name, size"),
    "no JSON": (MARKER, "{whole}: expected a JSON object of name, size"),
    "nothing": ("", "{whole}: expected a JSON object of name, size"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_body_of_its_own_is_called_the_body(case: str):
    """The field is named once, and nothing that was sent is repeated."""
    content, said = CASES[case]

    with pytest.raises(InvalidInputError) as told:
        parse_body(content, Body)

    assert told.value.message.startswith(said.format(whole="body"))
    assert MARKER not in f"{told.value.message} {told.value.hint}"


@pytest.mark.parametrize("case", CASES)
def test_a_part_of_a_form_is_called_by_its_name(case: str):
    """Once, also where the part as a whole is wrong."""
    content, said = CASES[case]

    with pytest.raises(InvalidInputError) as told:
        parse_body(content, Body, part="request")

    expected = said.format(whole="request")
    assert told.value.message.startswith(expected if "{whole}" in said else f"request: {expected}")
    assert told.value.message.count("request") == 1
