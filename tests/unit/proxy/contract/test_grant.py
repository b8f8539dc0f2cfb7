"""The grant's wire form: strict, and its token in no text."""

from __future__ import annotations

import json
import math

import pytest

from proxy.contract.grant import Grant, GrantSecret, grant_from_wire
from proxy.policy.model import Policy

TOKEN = "token-that-must-not-show"
VALUE = "value-that-must-not-show"
PLACEHOLDER = "sk-placeholder-0123456789"
GRANT = Grant(
    sandbox_id="run-1",
    revision=3,
    policy=Policy(name="t"),
    proxy_address="10.231.0.2",
    sandbox_address="10.231.0.3",
    expires_in_s=60.0,
    token=TOKEN,
    secrets=(GrantSecret("OPENAI_API_KEY", VALUE, PLACEHOLDER), GrantSecret("DB_PASSWORD", VALUE + "\n")),
)


def secrets(*items: object) -> dict:
    """The grant with these secrets on the wire."""
    return {**GRANT.to_wire(), "secrets": list(items)}


def secret(**more: object) -> dict:
    """A good secret, changed."""
    return {"name": "OPENAI_API_KEY", "value": VALUE, "placeholder": PLACEHOLDER, **more}


def test_a_grant_survives_the_wire() -> None:
    """What the daemon sends is what the proxy enforces."""
    assert grant_from_wire(json.loads(json.dumps(GRANT.to_wire()))) == GRANT


def test_whole_seconds_are_seconds() -> None:
    """JSON writers may drop the fraction."""
    assert grant_from_wire({**GRANT.to_wire(), "expires_in_s": 60}) == GRANT


def test_the_token_is_in_no_text_form() -> None:
    """A logged grant gives nothing away."""
    text = f"{GRANT!r} {GRANT}"
    assert (TOKEN in text, VALUE in text, PLACEHOLDER in text) == (False, False, False)


DEFECTS = {
    "a grant that is no object": ([], "a grant has exactly the fields"),
    "a field too few": ({"sandbox_id": "run-1"}, "a grant has exactly the fields"),
    "a field too many": ({**GRANT.to_wire(), "x": 1}, "a grant has exactly the fields"),
    "a revision that is text": ({**GRANT.to_wire(), "revision": "3"}, "grant field revision: expected int"),
    "a revision that is true": ({**GRANT.to_wire(), "revision": True}, "grant field revision: expected int"),
    "revision 0": ({**GRANT.to_wire(), "revision": 0}, "grant: sandbox_id and token are not empty, revision"),
    "no sandbox": ({**GRANT.to_wire(), "sandbox_id": ""}, "grant: sandbox_id and token are not empty"),
    "no token": ({**GRANT.to_wire(), "token": ""}, "grant: sandbox_id and token are not empty"),
    "a token that is no text": ({**GRANT.to_wire(), "token": 7}, "grant field token: expected str"),
    "an expiry that is text": (
        {**GRANT.to_wire(), "expires_in_s": "60"},
        "grant field expires_in_s: expected int or",
    ),
    "no time left": ({**GRANT.to_wire(), "expires_in_s": 0}, "grant field expires_in_s: expected seconds"),
    "an expiry that is no number": (
        {**GRANT.to_wire(), "expires_in_s": math.nan},
        "grant field expires_in_s: expected seconds",
    ),
    "no end at all": (
        {**GRANT.to_wire(), "expires_in_s": math.inf},
        "grant field expires_in_s: expected seconds",
    ),
    "secrets that are no list": ({**GRANT.to_wire(), "secrets": {}}, "grant field secrets: expected a list"),
    "too many secrets": (
        secrets(*(secret(name=f"K{n}", placeholder=None) for n in range(257))),
        "grant field secrets: more than 256",
    ),
    "too much in all": (
        secrets(*(secret(name=f"K{n}", placeholder=None, value="x" * (15 << 10)) for n in range(40))),
        "grant field secrets: more than 256, or than 512 Ki characters",
    ),
    "too much as JSON writes it": (
        secrets(*(secret(name=f"K{n}", placeholder=None, value="\U0001f600" * 4096) for n in range(11))),
        "grant field secrets: more than 256, or than 512 Ki characters",
    ),
    "a secret with a field too many": (secrets(secret(x=1)), "grant field secrets: an item has exactly"),
    "a secret that is no object": (secrets(VALUE), "grant field secrets: an item has exactly"),
    "a value that is a number": (
        secrets(secret(value=7)),
        "grant field secrets: name, value and placeholder",
    ),
    "an empty placeholder": (
        secrets(secret(placeholder="")),
        "grant field secrets: name, value and placeholder",
    ),
    "a name in lower case": (secrets(secret(name=VALUE)), "grant secret ?: its name"),
    "an empty value": (
        secrets(secret(value="")),
        "grant secret OPENAI_API_KEY: its value cannot be used: it is empty",
    ),
    "a value that is too long": (
        secrets(secret(value=VALUE * 9999)),
        "grant secret OPENAI_API_KEY: its value cannot be used: it is longer than 16 KiB",
    ),
    "a value that would end the header": (
        secrets(secret(value=VALUE + "\r\nHost: evil")),
        "grant secret OPENAI_API_KEY: its value cannot stand in a header",
    ),
    "a placeholder that could be guessed": (
        secrets(secret(placeholder="sk-1")),
        "grant secret OPENAI_API_KEY: its placeholder is not",
    ),
    "a placeholder with other letters": (
        secrets(secret(placeholder=PLACEHOLDER + " ")),
        "grant secret OPENAI_API_KEY: its placeholder is not",
    ),
    "one name twice": (
        secrets(secret(), secret(placeholder=PLACEHOLDER + "x")),
        "grant field secrets: names and",
    ),
    "one placeholder twice": (secrets(secret(), secret(name="OTHER")), "grant field secrets: names and"),
    "a broken policy": ({**GRANT.to_wire(), "policy": {}}, "policy: expected an object"),
}


@pytest.mark.parametrize(("data", "message"), DEFECTS.values(), ids=DEFECTS.keys())
def test_a_defect_is_refused_without_the_token(data: object, message: str) -> None:
    """ValueError names the field and never holds the token or a value."""
    with pytest.raises(ValueError, match=r".") as caught:
        grant_from_wire(data)
    assert str(caught.value).startswith(message)
    text = str(caught.value)
    assert (TOKEN in text, VALUE in text, PLACEHOLDER in text) == (False, False, False)
