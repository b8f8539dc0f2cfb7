"""Paths: globs without surprises, and the paths that servers read in different ways."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.paths import check_path_glob, is_ambiguous_path, is_path_match

MATCHES = {
    "an exact path": ("/v1/models", "/v1/models", True),
    "an exact path is not a prefix": ("/v1/models", "/v1/models/x", False),
    "an exact path is not a suffix": ("/v1/models", "/x/v1/models", False),
    "a star at the end": ("/v1/*", "/v1/chat/completions", True),
    "a star may stand for nothing": ("/v1/*", "/v1/", True),
    "the part before the star must be whole": ("/v1/*", "/v1", False),
    "another prefix": ("/v1/*", "/v2/x", False),
    "a star in the middle": ("/a/*/z", "/a/b/c/z", True),
    "a star in the middle needs the end": ("/a/*/z", "/a/b/c", False),
    "the ends may not overlap": ("/a*a", "/a", False),
    "two stars": ("/*/*/git-upload-pack", "/org/repo.git/git-upload-pack", True),
    "two stars, one part short": ("/*/*/git-upload-pack", "/git-upload-pack", False),
    "a middle part that is absent": ("/a*b*c", "/axc", False),
    "brackets are not a set": ("/[ab]", "/a", False),
    "a question mark is not a wildcard": ("/a?c", "/abc", False),
    "case counts": ("/V1/*", "/v1/x", False),
}


@pytest.mark.parametrize(("glob", "path", "is_match"), MATCHES.values(), ids=MATCHES.keys())
def test_a_glob_matches_the_whole_path(glob: str, path: str, is_match: bool) -> None:
    """Only `*` is special, and the whole path has to fit."""
    assert is_match == is_path_match(glob, path)


@given(st.text("/ab*", max_size=8), st.text("/ab", max_size=12))
def test_globs_agree_with_the_standard_library(glob: str, path: str) -> None:
    """Where `*` is the only wildcard, fnmatch says the same."""
    assert fnmatch.fnmatchcase(path, glob) == is_path_match(glob, path)


def test_many_stars_do_not_make_matching_slow() -> None:
    """A long path and a glob of many stars end at once: no backtracking."""
    assert not is_path_match("/" + "*a" * 50 + "*b", "/" + "a" * 50_000)


AMBIGUOUS = {
    "a dot segment": "/ok/./x",
    "a double dot segment": "/ok/../admin",
    "a double dot at the end": "/ok/..",
    "a double dot with a parameter": "/ok/..;/admin",
    "escaped dots": "/ok/%2e%2e/admin",
    "one escaped dot": "/ok/.%2E/admin",
    "dots escaped twice": "/ok/%252e%252e/admin",
    "dots escaped thrice": "/ok/%25252e/admin",
    "two slashes": "//admin",
    "two slashes inside": "/ok//admin",
    "an escaped slash": "/ok%2Fadmin",
    "a backslash": "/ok\\admin",
    "an escaped backslash": "/ok%5cadmin",
    "a parameter": "/ok;x=1/admin",
    "an escaped semicolon": "/ok%3bx",
    "a fragment": "/ok#/admin",
    "an escaped fragment": "/ok%23x",
    "an escaped question mark": "/ok%3fx",
    "an escaped NUL": "/ok%00",
    "a control character": "/ok\x01",
    "a line feed at the end": "/ok\n",
    "a space": "/ok x",
    "letters that are not ASCII": "/ök",
    "overlong dots": "/ok/%c0%ae%c0%ae/admin",
    "overlong dots of three bytes": "/ok/%e0%80%ae%e0%80%ae/admin",
    "an overlong slash": "/ok%c0%afadmin",
    "UTF-8 that breaks off": "/ok%c3",
    "Latin-1": "/caf%e9",
    "half of a surrogate pair": "/ok%ed%a0%80",
    "an escaped tab between dots": "/ok/.%09./admin",
    "an escaped line feed": "/ok%0aX: y",
    "an escaped DEL": "/ok%7f",
    "an escaped C1 control character": "/ok%c2%85",
    "dots and an escaped blank": "/ok/..%20/admin",
    "a blank before dots": "/ok/%20../admin",
    "dots and a no-break space": "/ok/..%c2%a0/admin",
    "dots about what cannot be seen": "/ok/.%e2%80%8b./admin",
    "three dots": "/ok/.../admin",
    "a segment of a blank": "/ok/%20/admin",
    "fullwidth dots": "/ok/%ef%bc%8e%ef%bc%8e/admin",
    "a two dot leader": "/ok/%e2%80%a5/admin",
    "a fullwidth slash": "/ok%ef%bc%8fadmin",
    "a division slash": "/ok%e2%88%95admin",
    "a yen sign, a backslash in Japan": "/ok%c2%a5admin",
    "a line separator": "/ok%e2%80%a8x",
    "an escaped percent sign": "/ok%25",
    "letters escaped twice": "/ok%2561",
    "IIS's own escape": "/ok%u002e%u002e/admin",
    "IIS's own escape, escaped": "/ok%25u002e",
    "angle brackets": "/ok<x>",
    "a quotation mark": '/ok"x',
    "no slash at the beginning": "ok",
    "half an escape": "/ok%4",
    "an escape of other letters": "/ok%zz",
}


@pytest.mark.parametrize("path", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_path_that_servers_read_in_different_ways_is_ambiguous(path: str) -> None:
    """Every spelling that a server may normalise away is known (N-50)."""
    assert is_ambiguous_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/models/gemini-2.5:generateContent",
        "/a.b/..c/d..",
        "/a%20b",
        "/x%41",
        "/.well-known/x",
        "/a..b",
        "/v1/",
        "/@scope/name@1.0.0/x,y",
        "/caf%C3%A9/%E6%97%A5%E6%9C%AC/%f0%9f%98%80",
        "/wiki/%D9%85%DB%8C%E2%80%8C%D8%AE%D9%88%D8%A7%D9%87%D9%85",
        "/a%5Bb%5D/[c]/d|e",
        "/$metadata('x')/(y)!*'",
        "/%7Euser/%2D",
    ],
)
def test_ordinary_paths_are_not_ambiguous(path: str) -> None:
    """Dots in names, colons and ordinary escapes stay allowed."""
    assert not is_ambiguous_path(path)


@pytest.mark.parametrize("glob", ["/", "/v1/*", "/*", "/a*b/c"])
def test_a_sound_glob_is_given_back(glob: str) -> None:
    """A glob that can match stands as written."""
    assert glob == check_path_glob(glob)


@pytest.mark.parametrize(
    ("glob", "why"),
    [
        ("v1/*", "a path starts with /, as in /v1/*"),
        ("*", "a path starts with /, as in /v1/*"),
        ("/v1?x=*", "a path rule is about the path without its query; only * is a wildcard"),
        ("/a/../b", "a path in a spelling that is always refused (., .., //, ;, \\, %2f and the like)"),
    ],
)
def test_a_glob_that_cannot_match_is_refused(glob: str, why: str) -> None:
    """A path rule that could never allow anything is an error, not a silent no."""
    with pytest.raises(ValueError, match=r".") as caught:
        check_path_glob(glob)
    assert why == str(caught.value)
