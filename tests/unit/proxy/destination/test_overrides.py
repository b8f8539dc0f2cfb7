"""What a server may take in the place of what was judged, and what only looks like it."""

from __future__ import annotations

import pytest

from proxy.destination.overrides import find_overrides

HEADERS = {
    ("X-HTTP-Method-Override", "DELETE"): "method",
    ("X-HTTP-Method", "anything"): "method",
    ("X-Method-Override", "PUT"): "method",
    ("x_http_method_override", "PUT"): "method",
    ("HttpMethod", "PUT"): "method",
    ("X-Method", "delete"): "method",
    ("X-Http-Verb", "x"): "method",
    ("X-Verb-Override", "x"): "method",
    ("X-HTTP-Headers", "a: b"): "headers",
    ("Destination", "https://ok.test/admin"): "path",
    ("X-Proxy-URL", "/admin"): "path",
    ("X-Request-Path", "/admin"): "path",
    ("Request-Uri", "/admin"): "path",
    ("x-amz-copy-source", "/bucket/secret"): "path",
    ("x-ms-rename-source", "/admin/x"): "path",
    ("X-Event-Source", "cron"): None,
    ("Access-Control-Request-Method", "DELETE"): None,
    ("X-Payment-Method", "card"): None,
    ("Accept", "*/*"): None,
    ("X-Goog-Request-Params", "model=a"): None,
    ("Referer", "https://ok.test/"): None,
}


@pytest.mark.parametrize(("header", "what"), HEADERS.items(), ids=lambda h: h[0] if h else "none")
def test_a_header_that_overrides(header: tuple[str, str], what: str | None):
    """By the words of its name; the word method alone counts where a method follows."""
    assert [override.what for override in find_overrides("/v1/x", [header])] == [what] * (what is not None)


QUERIES = {
    "_method=DELETE": "method",
    "_method=delete": "method",
    "a=b&_method=%44ELETE": "method",
    "a=b;_method=PATCH": "method",
    "_method[]=PUT": "method",
    "%5fmethod=%2550UT": "method",
    "$httpMethod=DELETE": "method",
    "%24httpMethod=x": "method",
    "%2524httpMethod=x": "method",
    "_HttpMethod=PATCH": "method",
    "X-HTTP-Method-Override=PUT": "method",
    "http_method=PUT": "method",
    "method=MOVE": "method",
    "$httpHeaders=X-Goog-Api-Key%3ATHIEF": "headers",
    "%24httpHeaders=X-HTTP-Method-Override%3ADELETE": "headers",
    "http_headers=a": "headers",
    "method=flickr.photos.search": None,
    "verb=ListRecords": None,
    "path=src/main.py": None,
    "url=https://example.org": None,
    "a=_method": None,
    "": None,
}


@pytest.mark.parametrize(("query", "what"), QUERIES.items())
def test_a_parameter_that_overrides(query: str, what: str | None):
    """In any spelling of its name that a server may decode."""
    found = [override.what for override in find_overrides("/v1/x?" + query, ())]

    assert found == [what] * (what is not None)
