"""What never crosses the proxy."""

from __future__ import annotations

import pytest
from mitmproxy.http import Headers

from proxy.destination.headers import (
    MAX_CONNECTION_OPTIONS,
    clean_request_headers,
    clean_response_headers,
)
from proxy.policy.refusal import RefusedError

REQUESTS = {
    "plain headers stay": ({"accept": "x", "host": "h"}, {"accept": "x", "host": "h"}),
    "the proxy token goes": ({"proxy-authorization": "x", "proxy-connection": "y"}, {}),
    "claims of identity go": ({"x-forwarded-for": "1", "forwarded": "f", "via": "v", "x-real-ip": "i"}, {}),
    "claims about host and path go": (
        {
            "X-Original-URL": "/admin",
            "x-rewrite-url": "/admin",
            "X-Forwarded-Prefix": "/admin",
            "x-forwarded-uri": "/admin",
            "x_forwarded_path": "/admin",
            "X.Original.URI": "/admin",
            "x-envoy-original-path": "/admin",
            "x-host": "evil.test",
            "X-Script-Name": "/admin",
            "x-forwarded": "f",
            "x-override-url": "/admin",
            "x-waws-unencoded-url": "/admin",
        },
        {},
    ),
    "what only begins like one stays": (
        {"x-rewritten": "1", "x-hostname": "h"},
        {"x-rewritten": "1", "x-hostname": "h"},
    ),
    "nominated headers go": ({"connection": "X-Policy, close", "x-policy": "1"}, {"connection": "close"}),
    "host and framing cannot be nominated": (
        {"connection": "host, content-length", "host": "h", "content-length": "1"},
        {"host": "h", "content-length": "1"},
    ),
    "an upgrade to h2c goes": (
        {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "s"},
        {},
    ),
    "extensions of WebSocket are offered to nobody": ({"sec-websocket-extensions": "permessage-deflate"}, {}),
    "a WebSocket upgrade stays": (
        {"connection": "Upgrade", "upgrade": "websocket"},
        {"connection": "upgrade", "upgrade": "websocket"},
    ),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_request_headers(case: str):
    """Hop-by-hop headers and claims about the client are dropped."""
    given, expected = REQUESTS[case]
    headers = Headers([(name.encode(), value.encode()) for name, value in given.items()])

    clean_request_headers(headers)

    assert dict(headers.items(multi=True)) == expected


def test_response_headers():
    """A response cannot point to another way out, nor pose as the proxy."""
    headers = Headers(alt_svc='h3=":443"', proxy_status="x", etag="e")

    clean_response_headers(headers)

    assert dict(headers.items()) == {"etag": "e"}


def test_connection_may_name_so_many_headers_and_no_more():
    """Empty names count too."""
    clean_request_headers(Headers(connection="," * (MAX_CONNECTION_OPTIONS - 1)))
    with pytest.raises(RefusedError):
        clean_request_headers(Headers(connection="," * MAX_CONNECTION_OPTIONS))
