"""The one rule for a secret's name and value, and that every place that takes a secret has it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from proxy.contract.grant import GrantSecret
from proxy.contract.secret_rules import MAX_SECRET_BYTES, ValueProblem, is_secret_name, value_problem
from runtime.errors import InvalidInputError
from runtime.keys.placeholders import deliver
from runtime.model.secret import Secret
from runtime.policies.schema import AllowEntry
from runtime.vault.entry import check_name, check_value

LONGEST = "A" * 128
PROBLEMS = {
    "it is empty": "",
    "it holds a NUL": "a\0b",
    "it is not UTF-8 text": "a\udcff",
    "it is longer than 16 KiB": "x" * (MAX_SECRET_BYTES + 1),
}


@pytest.mark.parametrize("name", ["", "a", "1A", "_A", "A-B", "A\n", "É", LONGEST + "A"])
def test_a_name_that_is_none(name: str) -> None:
    """No place takes what another would refuse."""
    assert not is_secret_name(name)
    with pytest.raises(ValueError, match="its name is not"):
        GrantSecret(name, "value")
    with pytest.raises(InvalidInputError):
        check_name(name)
    with pytest.raises(ValidationError):
        AllowEntry.model_validate({"host": "a.test", "credential": name})


def test_the_longest_name_is_one_everywhere() -> None:
    """What a policy names can be stored and granted."""
    assert is_secret_name(LONGEST)
    check_name(LONGEST)
    GrantSecret(LONGEST, "value")
    AllowEntry.model_validate({"host": "a.test", "credential": LONGEST})


@pytest.mark.parametrize(("problem", "value"), PROBLEMS.items(), ids=PROBLEMS.keys())
def test_a_value_that_is_none(problem: str, value: str) -> None:
    """Where it is set, the error has a remedy; where it is given to a run, it names the secret; never the value."""
    found = value_problem(value)
    assert isinstance(found, ValueProblem)
    assert found.what == problem
    with pytest.raises(InvalidInputError) as told:
        check_value(Secret(value))
    assert (told.value.message, told.value.hint) == (f"value: {problem}", found.remedy)
    with pytest.raises(InvalidInputError) as told:
        deliver({"DB_KEY": Secret(value)}, frozenset())
    assert told.value.message == f"secret DB_KEY: its value cannot be used: {problem}"


def test_the_longest_value_is_one_everywhere() -> None:
    """What can be stored can be given to a run."""
    value = "é" * (MAX_SECRET_BYTES // 2)
    assert value_problem(value) is None
    check_value(Secret(value))
    assert deliver({"DB_KEY": Secret(value)}, frozenset())[0].value == value
