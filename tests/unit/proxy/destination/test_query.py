"""A query's pieces as they stand, and names by their words."""

from __future__ import annotations

import pytest

from proxy.destination.query import compact, parse_query, shown_name, words

WORDS = {
    "clientSecret": ("client", "secret"),
    "APIKey": ("api", "key"),
    "X-API-KEY": ("x", "api", "key"),
    "x.api.key": ("x", "api", "key"),
    "oauth2_token": ("oauth", "token"),
    "refreshToken1": ("refresh", "token"),
    "a b:c": ("a", "b", "c"),
    "apitoken": ("apitoken",),
    "éà": (),
    "": (),
}


@pytest.mark.parametrize(("name", "expected"), WORDS.items())
def test_a_name_is_parted_into_its_words(name: str, expected: tuple[str, ...]):
    """camelCase, kebab-case, snake_case, dots and digits part alike."""
    assert words(name) == expected


def test_a_name_has_one_spelling_to_compare():
    """Letters and digits; `key2` is not `key`."""
    assert [compact(name) for name in ("X-API-Key", "api.key", "key2", "é")] == [
        "xapikey",
        "apikey",
        "key2",
        "",
    ]


@pytest.mark.parametrize("target", ["/a", "/a?", "/a?b", "/a?b=c&d;e=f&&", "*", "/a?b=%zz?c"])
def test_a_query_comes_out_as_it_went_in(target: str):
    """What is not swapped is not rewritten."""
    path, parameters = parse_query(target)
    assert target == path + "".join(p.separator + p.text for p in parameters)


@pytest.mark.parametrize(
    "text", ["apiKey=v", "%61pi%4bey=v", "%2561piKey=v", "$apiKey=v", "apiKey[]=v", "+apiKey =v"]
)
def test_a_name_is_known_in_any_spelling(text: str):
    """Decoded as often as a server may decode it; the value once."""
    [parameter] = parse_query("/?" + text)[1]
    assert (parameter.name, parameter.known_as, parameter.value) == ("apiKey", "apikey", "v")


def test_a_name_that_may_be_a_key_is_not_shown():
    """A refusal repeats a name only where nothing can hide in it."""
    assert [shown_name(n) for n in ("x-token", "a" * 41, "a\n", "é")] == ["x-token", "...", "...", "..."]
