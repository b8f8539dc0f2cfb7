"""runtime.access.listen: where the API listens; without TLS it is on loopback only."""

from __future__ import annotations

import pytest

from runtime.access.listen import Listen, parse_listen

RIGHT = {
    "127.0.0.1:7443": (Listen("127.0.0.1", 7443), "https://127.0.0.1:7443"),
    "https://192.0.2.1:443": (Listen("192.0.2.1", 443), "https://192.0.2.1:443"),
    "0.0.0.0:7443": (Listen("0.0.0.0", 7443), "https://127.0.0.1:7443"),
    "[::]:7443": (Listen("::", 7443), "https://[::1]:7443"),
    "[2001:db8::1]:7443": (Listen("2001:db8::1", 7443), "https://[2001:db8::1]:7443"),
    "http://localhost:7400": (Listen("127.0.0.1", 7400, is_tls=False), "http://127.0.0.1:7400"),
    "http://[::1]:7400": (Listen("::1", 7400, is_tls=False), "http://[::1]:7400"),
    "http://127.3.2.1:7400": (Listen("127.3.2.1", 7400, is_tls=False), "http://127.3.2.1:7400"),
}


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_taken(text: str):
    """With TLS where nothing else is said; a client of this host is told an address that it can call."""
    listen, url = RIGHT[text]
    assert parse_listen(text) == listen
    assert listen.url == url


@pytest.mark.parametrize(
    "text",
    [
        *("", "7443", ":7443", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:123456"),
        *("host.example:7443", "ftp://127.0.0.1:1", "https://127.0.0.1:1/", "127.0.0.1:1 ", "127.1:7443"),
        *("::1:7443", "[::1]", "[::zz]:1", "[127.0.0.1]:1 x", "256.0.0.1:1"),
        *("http://0.0.0.0:7400", "http://192.0.2.1:7400", "http://[::]:7400", "http://[2001:db8::1]:80"),
    ],
)
def test_what_is_not(text: str):
    """Tokens cross no network in the clear."""
    with pytest.raises(ValueError, match=r"HOST:PORT|address|IPv"):
        parse_listen(text)
