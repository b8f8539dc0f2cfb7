"""Lists of names that may pass."""

from __future__ import annotations

import pytest

from proxy.policy.passes import Passes, check_passed_name, is_listed, join


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x-a", True),
        ("x-ab", False),
        ("X-A", False),
        ("y-", True),
        ("y-anything", True),
        ("y", False),
        ("", False),
    ],
)
def test_a_name_is_listed_whole_or_by_its_beginning(name: str, *, expected: bool) -> None:
    """Only a star at the end stands for more; nothing is listed by an empty list."""
    assert expected == is_listed({"x-a", "y-*"}, name)
    assert not is_listed((), name)


def test_lists_add_up() -> None:
    """Place by place."""
    one, two = Passes(frozenset("a"), frozenset("b")), Passes(frozenset("c"), subprotocols=frozenset("d"))
    assert join([one, two]) == (one | two)
    assert (join([]), join([two])) == (None, two)
    assert (one | two) == Passes(frozenset("ac"), frozenset("b"), frozenset("d"))


@pytest.mark.parametrize("text", ["x-a", "x-a*", "$alt", "pageSize", "v1.chat"])
def test_a_sound_name_is_given_back(text: str) -> None:
    """As it was written."""
    assert check_passed_name(text.lstrip("$")) == text.lstrip("$")


@pytest.mark.parametrize("text", ["", "*", "a*b", "x y", "a:b", "é", "a" * 101, "-a", "a\n"])
def test_a_name_that_could_stand_for_anything_is_refused(text: str) -> None:
    """A list of everything is none."""
    with pytest.raises(ValueError, match="not a name"):
        check_passed_name(text)
