"""The redactor: every known spelling of a value is masked, and nothing else is."""

from __future__ import annotations

import pytest

from proxy.secrets.forms import SPELLINGS, Spelling, Use
from runtime.keys.redactor import MASK, Redactor

VALUE = "k-1/+ \"é\\<&=%2f'`~"
ROWS = [row for row in SPELLINGS if Use.MASK in row.uses]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_spelling_of_the_table_is_masked(row: Spelling) -> None:
    """A row that is added there is one that is masked here."""
    for form in row.spell(VALUE):
        assert Redactor([VALUE])(f"a {form} b") == f"a {MASK} b"


def test_a_value_is_masked_with_and_without_the_white_space_around_it() -> None:
    """A file's last newline is not what an agent prints."""
    redact = Redactor([" first-line\nsecond-line\n"])
    assert redact("first-line\nsecond-line") == MASK
    assert redact("second-line, ok") == f"{MASK}, ok"


def test_a_few_letters_are_masked_as_they_are_only() -> None:
    """In base64 and in hex they stand in ordinary text by chance."""
    redact = Redactor(["pass", "abc"])
    assert redact("pass abc 70617373 cGFzcw") == f"{MASK} abc 70617373 cGFzcw"


def test_no_more_than_the_longest_form_can_begin_at_the_end() -> None:
    """What a stream holds back."""
    assert Redactor([]).open_chars == 0
    assert Redactor(["value-of-a-key"]).open_chars == 2 * len("value-of-a-key") - 1
