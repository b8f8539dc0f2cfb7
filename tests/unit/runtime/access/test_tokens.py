"""runtime.access.tokens: a token's text, and the hash that is kept of it."""

from __future__ import annotations

import re

import pytest

from runtime.access.tokens import hash_of, matches, may_match, mint, parse


def test_a_token_is_read_as_it_was_made():
    """No two are alike, and neither text form of its parts shows the secret."""
    (first, text), (second, other) = mint(), mint()

    assert re.fullmatch(r"orch_[0-9a-f]{64}", text.reveal())
    assert parse(text.reveal()) == first
    assert (first.id, first.secret, text.reveal()) != (second.id, second.secret, other.reveal())
    assert first.secret not in f"{first!r} {text!r} {text}"


def test_another_secret_for_the_same_token():
    """Rotation keeps the id."""
    first, _ = mint()
    second, text = mint(first.id)
    assert (second.id, parse(text.reveal())) == (first.id, second)
    assert second.secret != first.secret


@pytest.mark.parametrize(
    "wrong",
    [
        lambda text: "",
        lambda text: text[:-1],
        lambda text: text + "0",
        lambda text: text.upper(),
        lambda text: f" {text}",
        lambda text: f"{text}\n",
        lambda text: text.replace("orch_", "orch-"),
        lambda text: text[:30] + ("0" if text[30] != "0" else "1") + text[31:],
        lambda text: text.replace(text[5], "\u0660", 1),
    ],
)
def test_what_is_no_token_is_none(wrong):
    """One wrong character is enough."""
    assert parse(wrong(mint()[1].reveal())) is None


def test_a_hash_matches_its_secret_only():
    """It is salted, and nothing of the secret is in it."""
    kept = hash_of("a-secret")
    assert matches("a-secret", kept)
    assert not matches("a-secreT", kept)
    assert kept != hash_of("a-secret")
    assert "a-secret" not in kept


def test_the_sieve_lets_the_right_secret_pass():
    """And no wrong one; it is another one for each hash of the same secret."""
    kept = hash_of("a-secret")
    assert may_match("a-secret", kept)
    assert not may_match("a-secreT", kept)
    assert kept.split("$")[-1] != hash_of("a-secret").split("$")[-1]


def test_the_sieve_alone_lets_nobody_in():
    """The hash decides; a row without either matches nothing."""
    *before, _hash, sieve = hash_of("a-secret").split("$")
    other = hash_of("another").split("$")[-2]
    assert may_match("a-secret", "$".join([*before, other, sieve]))
    assert not matches("a-secret", "$".join([*before, other, sieve]))
    assert not matches("a-secret", "$".join([*before, _hash]))


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "a-secret",
        "scrypt$16384$8$1$$$",
        "scrypt$16384$8$1$AAAA$$",
        "scrypt$16384$8$1$AAAA$AAAA$AAAA",
        "scrypt$0$8$1$AAAA$AAAA$AAAA",
        "scrypt$99999999$999$999$AAAA$AAAA$AAAA",
        "scrypt$16384$8$1$A$A$A",
    ],
)
def test_what_is_no_hash_of_ours_matches_nothing(kept: str):
    """A row that was changed by hand, an empty hash above all, lets nobody in, and costs no memory."""
    for secret in ("a-secret", ""):
        assert not matches(secret, kept)
        assert not may_match(secret, kept)
