"""runtime.vault.entry: names and values, and errors that repeat neither."""

from __future__ import annotations

import pytest

from runtime.errors import InvalidInputError
from runtime.model.secret import Secret
from runtime.vault import entry


@pytest.mark.parametrize("name", ["A", "OPENAI_API_KEY", "A1_", "A" * 128])
def test_good_names(name: str):
    """1 to 128 of A-Z, 0-9 and _, a letter first."""
    entry.check_name(name)


@pytest.mark.parametrize("name", ["", "a", "1A", "_A", "A-B", "A B", "A\n", "É", "A" * 129, "sk-live-0123"])
def test_bad_names_are_refused_unseen(name: str):
    """A value in the place of the name does not come back in the error."""
    with pytest.raises(InvalidInputError, match=r"^name: ") as told:
        entry.check_name(name)

    assert len(name) < 3 or name not in told.value.message + str(told.value.hint)


@pytest.mark.parametrize("value", ["x", "é" * 8192, " ", "\n", "x" * 16_384])
def test_good_values(value: str):
    """Any UTF-8 text up to 16 KiB."""
    entry.check_value(Secret(value))


@pytest.mark.parametrize("value", ["", "\0", "é" * 8193, "\udcff"], ids=["empty", "NUL", "long", "bytes"])
def test_bad_values(value: str):
    """Empty, NUL, longer, or not UTF-8."""
    with pytest.raises(InvalidInputError, match=r"^value: "):
        entry.check_value(Secret(value))


@pytest.mark.parametrize("name", ["a", "my-team", "0", "x" * 63])
def test_good_workspace_names(name: str):
    """As host names are."""
    entry.check_workspace_name(name)


@pytest.mark.parametrize(
    "name", ["", "A", "-a", "a-", "a_b", "a/b", "x" * 64, "0b0e0000-0000-4000-8000-000000000001"]
)
def test_bad_workspace_names(name: str):
    """Nor the form of an id: a workspace is found by either."""
    with pytest.raises(InvalidInputError):
        entry.check_workspace_name(name)


def test_descriptions_are_one_printable_line():
    """They are shown in tables."""
    entry.check_description(None)
    entry.check_description("for é")
    for text in ("a\nb", "\x1b[31m", "x" * 501):
        with pytest.raises(InvalidInputError):
            entry.check_description(text)
