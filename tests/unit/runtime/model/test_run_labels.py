"""Labels: what is taken, and that what is refused is not repeated."""

from __future__ import annotations

import pytest

from runtime.model.run_labels import MAX_LABELS, fault_of

MARKER = "Marker-4f"
BAD_KEYS = ["", "A", "-a", "a-", "a b", "a=b", "\u00fc", "a\n", "a" * 64, MARKER]
BAD_VALUES = ["a\n", "\0", "\x1b[31m", "\ud800", "x" * 256, f"{MARKER}\r"]


@pytest.mark.parametrize("labels", [{}, {"a": ""}, {"team": "Suche \u00fc"}, {"orchbox.io/x_1-y": "v" * 255}])
def test_labels_are_taken(labels: dict[str, str]):
    """Keys as names of other systems are, and any text that a person can read."""
    assert fault_of(labels) is None


@pytest.mark.parametrize("key", BAD_KEYS, ids=repr)
def test_a_wrong_key_is_refused(key: str):
    """By its place, since it may be a secret."""
    fault = fault_of({"fine": "x", key: "y"})

    assert fault is not None
    assert "key of label 2" in fault
    assert MARKER not in fault


@pytest.mark.parametrize("value", BAD_VALUES, ids=repr)
def test_a_wrong_value_is_refused(value: str):
    """What would break a line of a log, or a terminal."""
    fault = fault_of({"k": value})

    assert fault is not None
    assert "value of label 1" in fault
    assert MARKER not in fault


def test_the_number_of_labels_is_bounded():
    """One more than there may be."""
    labels = {f"k{number}": "v" for number in range(MAX_LABELS)}

    assert fault_of(labels) is None
    assert fault_of({**labels, "more": "v"}) is not None
