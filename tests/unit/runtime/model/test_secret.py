"""runtime.model.secret: the value comes out by `reveal` and by no other way."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass

import pytest

from runtime.model.secret import Secret

VALUE = "sk-secret-value-000111222"

SHOWN: dict[str, Callable[[Secret], str]] = {
    "repr": repr,
    "str": str,
    "format": lambda secret: f"{secret} {secret!r} {secret:>40}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - a way of its own
    "in a dict": lambda secret: repr({"key": secret}),
    "in an exception": lambda secret: str(ValueError(secret)),
    "json with a default": lambda secret: json.dumps({"key": secret}, default=str),
}


@pytest.mark.parametrize("way", SHOWN)
def test_no_text_form_shows_the_value(way: str):
    """Whatever turns it into text gets the mask."""
    assert VALUE not in SHOWN[way](Secret(VALUE))


SERIALISED: dict[str, Callable[[Secret], object]] = {
    "pickle": pickle.dumps,
    "deepcopy": copy.deepcopy,
    "json": json.dumps,
}


@pytest.mark.parametrize("way", SERIALISED)
def test_it_is_never_serialised(way: str):
    """A copy would be one more place to find the value in: it is refused."""
    with pytest.raises(TypeError):
        SERIALISED[way](Secret(VALUE))


def test_a_value_that_holds_it_cannot_be_copied_out_by_accident():
    """`asdict` copies every field, so it fails rather than spread the value."""

    @dataclass
    class Holder:
        key: Secret

    with pytest.raises(TypeError):
        asdict(Holder(Secret(VALUE)))


def test_reveal_gives_the_value():
    """The one way out."""
    assert Secret(VALUE).reveal() == VALUE
