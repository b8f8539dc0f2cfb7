"""One row a reason code: complete in itself, and the same in the docs."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.policy.reasons import ReasonCode, _Row

DOCS = Path(__file__).parents[4] / "docs/reason-codes.md"


def row_of(reason: ReasonCode) -> str:
    """The code's row of the table in the docs."""
    retry = "may help" if reason.may_retry else "no"
    operator = "can allow it" if reason.operator_can_allow else "no"
    return f"| `{reason.value}` | {reason.status} | {retry} | {operator} | {reason.meaning} |"


@pytest.mark.parametrize("reason", ReasonCode)
def test_every_reason_is_a_sentence_an_error_and_one_row_of_the_docs(reason: ReasonCode) -> None:
    """What the table says of a code is what a stranger reads of it."""
    assert reason.meaning[0].isupper()
    assert reason.meaning.endswith(".")
    assert len(reason.meaning) > 10
    assert 400 <= reason.status < 600
    assert reason.status != 407
    assert row_of(reason) in DOCS.read_text().splitlines()


def test_the_docs_hold_no_code_that_there_is_not() -> None:
    """A code that went leaves no row behind."""
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    assert rows == [row_of(reason) for reason in ReasonCode]


def test_a_code_without_a_sentence_is_none() -> None:
    """The module itself does not load with such a row."""
    with pytest.raises(ValueError, match="reason code x: its meaning is no sentence"):
        ReasonCode._new_member_(ReasonCode, *_Row("x", ""))


def test_a_code_is_its_text() -> None:
    """It stands in JSON, in a set and in a comparison as the text that the API publishes."""
    assert (ReasonCode("port"), str(ReasonCode.PORT), ReasonCode.PORT) == (ReasonCode.PORT, "port", "port")


def test_a_sentence_belongs_to_one_code() -> None:
    """Two codes that mean the same would be one."""
    assert len({reason.meaning for reason in ReasonCode}) == len(ReasonCode)
