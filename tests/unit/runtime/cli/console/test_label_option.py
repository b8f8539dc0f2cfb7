"""`--label`: read as it is meant, or refused by its place."""

from __future__ import annotations

import pytest

from runtime.cli.console.label_option import read_labels
from runtime.errors import InvalidInputError

MARKER = "marker-5e"


def test_labels_are_read():
    """The first `=` parts them; a value may be empty, or have one of its own."""
    assert read_labels(["team=search", "empty=", "query=a=b"]) == {
        "team": "search",
        "empty": "",
        "query": "a=b",
    }


@pytest.mark.parametrize(
    "given", [[MARKER], [f"={MARKER}"], [f"A={MARKER}"], [f"a={MARKER}\n"], [f"a={MARKER}", "a=2"]]
)
def test_a_wrong_label_is_refused_unseen(given: list[str]):
    """It may be a key that was put in the wrong place."""
    with pytest.raises(InvalidInputError, match="--label") as told:
        read_labels(given)

    assert MARKER not in f"{told.value.message}{told.value.hint}"
