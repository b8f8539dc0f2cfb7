"""runtime.client.target: which daemon a command speaks with."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.client.target import Target
from runtime.errors import InvalidInputError

SOCKET = Path("/run/orchbox/api.sock")
TOKEN = "orch_" + "0" * 64
WRONG = {
    "a host without a scheme": ({"ORCHBOX_URL": "box.example:7443"}, "ORCHBOX_URL"),
    "the clear over a network": ({"ORCHBOX_URL": "http://box.example:7443"}, "ORCHBOX_URL"),
    "a password in it": ({"ORCHBOX_URL": f"https://u:{TOKEN}@box.example"}, "ORCHBOX_URL"),
    "a path": ({"ORCHBOX_URL": "https://box.example/v1"}, "ORCHBOX_URL"),
    "no token": ({"ORCHBOX_URL": "https://box.example", "ORCHBOX_TOKEN": ""}, "ORCHBOX_TOKEN"),
    "the JSON of a token": (
        {"ORCHBOX_URL": "https://box.example", "ORCHBOX_TOKEN": f'{{"token": "{TOKEN}"}}'},
        "ORCHBOX_TOKEN",
    ),
    "two lines": ({"ORCHBOX_URL": "https://box.example", "ORCHBOX_TOKEN": f"{TOKEN}\nx"}, "ORCHBOX_TOKEN"),
    "no CA there": ({"ORCHBOX_URL": "https://box.example", "ORCHBOX_CA": "/none/ca.pem"}, "ORCHBOX_CA"),
}


def test_without_a_url_it_is_the_one_of_this_host():
    """A token that is set all the same goes nowhere."""
    assert Target.from_env({"ORCHBOX_TOKEN": TOKEN}, SOCKET) == Target(SOCKET)
    assert Target(SOCKET).shown == str(SOCKET)


@pytest.mark.parametrize(
    "url",
    ["https://box.example", "https://192.0.2.1:7443/", "https://[2001:db8::1]:7443", "http://127.0.0.1:7400"],
)
def test_with_a_url_it_is_that_one(tmp_path: Path, url: str):
    """The token is in no text form of it."""
    ca = tmp_path / "ca.pem"
    ca.touch()
    env = {"ORCHBOX_URL": url, "ORCHBOX_TOKEN": f"{TOKEN}\n", "ORCHBOX_CA": str(ca)}

    target = Target.from_env(env, SOCKET)

    assert (target.url, target.ca, target.shown) == (url.rstrip("/"), ca, url.rstrip("/"))
    assert target.token is not None
    assert target.token.reveal() == TOKEN
    assert TOKEN not in repr(target)


@pytest.mark.parametrize("case", WRONG)
def test_a_variable_that_is_wrong_is_named(case: str):
    """With a remedy, and without the token."""
    env, name = WRONG[case]
    with pytest.raises(InvalidInputError, match=name) as told:
        Target.from_env({"ORCHBOX_TOKEN": TOKEN, **env}, SOCKET)
    assert told.value.hint
    assert TOKEN not in str(told.value)
