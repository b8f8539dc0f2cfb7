"""The schema's readings of single values; whole files are in tests/data/policies."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from runtime.policies.schema import BudgetEntries, Egress, is_policy_name


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (1, 1),
        ("1B", 1),
        ("100kB", 100_000),
        ("100KB", 100_000),
        ("100MB", 10**8),
        ("1GB", 10**9),
        ("2TB", 2 * 10**12),
        ("1KiB", 1 << 10),
        ("64MiB", 64 << 20),
        ("1GiB", 1 << 30),
        ("1TiB", 1 << 40),
    ],
)
def test_a_size_is_bytes_or_has_a_unit(value: object, size: int) -> None:
    """MB is a million bytes, MiB is 2**20."""
    assert size == BudgetEntries(bytes_in=value).bytes_in


@pytest.mark.parametrize(
    "value", [0, -1, True, 1.5, "0MB", "1", "1.5GB", "1 GB", "1mb", "MB", "-1MB", None, []]
)
def test_what_is_no_size_is_refused(value: object) -> None:
    """A budget is never guessed; an unquoted null is refused by the YAML reader."""
    if value is None:
        assert BudgetEntries(bytes_in=value).bytes_in is None
        return
    with pytest.raises(ValidationError):
        BudgetEntries(bytes_in=value)


@pytest.mark.parametrize("value", [0, 5, Decimal("2.50"), Decimal("0.000001")])
def test_dollars_are_a_decimal_number(value: object) -> None:
    """As written; 0 allows nothing that costs."""
    assert value == BudgetEntries(llm_usd=value).llm_usd


@pytest.mark.parametrize(
    "value", [-1, True, 2.5, "5", Decimal("NaN"), Decimal("0.0000001"), Decimal("1E+3"), 10**9, []]
)
def test_what_are_no_dollars_is_refused(value: object) -> None:
    """Neither a text, a sign, an exponent nor a binary fraction."""
    with pytest.raises(ValidationError):
        BudgetEntries(llm_usd=value)


@pytest.mark.parametrize("text", ["org/name", "org/*", "*/*", "a1/b_c.d-e"])
def test_agents_are_named_by_organisation(text: str) -> None:
    """One agent, all of an organisation, or all."""
    assert [text] == Egress(agents=[text]).agents


@pytest.mark.parametrize(
    "text", ["org", "*", "org/", "/name", "*/name", "o*/name", "org/na*", "Org/name", "a/b/c", "a/b\n"]
)
def test_what_names_no_agents_is_refused(text: str) -> None:
    """Part of a name is no pattern."""
    with pytest.raises(ValidationError):
        Egress(agents=[text])


@pytest.mark.parametrize(
    ("name", "is_name"),
    [
        ("llm-only", True),
        ("a", True),
        ("-a", False),
        ("a-", False),
        ("A", False),
        ("a/b", False),
        ("", False),
        ("a\n", False),
    ],
)
def test_a_policy_name_can_never_be_a_path(name: str, is_name: bool) -> None:
    """Small letters, digits and hyphens only."""
    assert is_name == is_policy_name(name)
