"""Destination names (attacks.md section 1): one name, one spelling, one decision, at every place it is given."""

from __future__ import annotations

from runtime.probe.corpus.build import (
    FIX_AGREE,
    FIX_PATHS,
    FIX_REPLACED,
    PROXY,
    connect,
    hello,
    refused,
    sent,
    steps,
    tunnelled,
)
from runtime.probe.corpus.case import Case

_UNLISTED = refused("not_allowed_host")
_BAD = refused("bad_host")
_CLOSED = refused("bad_request", "bad_host", silent=False)
_GET = "GET /{m} HTTP/1.1\r\nHost: ok.test\r\nConnection: close\r\n\r\n"


def _evil(host: str, more: str = "") -> str:
    return f"GET /{{m}} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n"


_CONNECTS: tuple[Case, ...] = (
    connect("N-00", "a host that no rule names", "{m}.evil.test:443", _UNLISTED),
    connect("N-03", "a denied host with a final dot", "denied.wild.test.:443", refused("denied_rule")),
    connect("N-04a", "two final dots", "ok.test..:443", refused("bad_request", "bad_host")),
    connect("N-04b", "a leading dot", ".ok.test:443", refused("bad_request", "bad_host")),
    connect("N-04c", "an empty label", "ok..test:443", refused("bad_request", "bad_host")),
    connect("N-05a", "a name in brackets", "[ok.test]:443", refused("bad_host", "bad_request")),
    connect(
        "N-05b", "a name in two pairs of brackets", "[[ok.test]]:443", refused("bad_host", "bad_request")
    ),
    connect("N-06a", "an allowed name as the end of another", "{m}ok.test:443", _UNLISTED),
    connect("N-06b", "an allowed name as the beginning of another", "ok.test{m}:443", _UNLISTED),
    connect("N-07", "an allowed name as labels of another", "ok.test.{m}.evil.test:443", _UNLISTED),
    connect(
        "N-08a",
        "user information before the host",
        "ok.test@{m}.evil.test:443",
        refused("bad_host", "bad_request"),
    ),
    connect("N-10a", "two ports", "ok.test:443:80", refused("bad_host", "bad_request")),
    connect("N-10b", "no port behind the colon", "ok.test:", refused("bad_request", "bad_host")),
    connect("N-10c", "port 0", "ok.test:0", refused("port", "bad_request", "bad_host")),
    connect("N-10d", "port 65536", "ok.test:65536", refused("bad_request", "bad_host")),
    connect("N-10e", "a negative port", "ok.test:-1", refused("bad_request", "bad_host")),
    connect("N-10f", "a port by name", "ok.test:https", refused("bad_request", "bad_host")),
    connect("N-10g", "a port with a sign", "ok.test:+443", refused("bad_request", "bad_host", "port")),
    connect(
        "N-12a",
        "a NUL before an allowed name",
        "{m}.evil.test\0.ok.test:443",
        refused("bad_request", "bad_host"),
    ),
    connect(
        "N-12b", "a percent-encoded NUL", "{m}.evil.test%00.ok.test:443", refused("bad_request", "bad_host")
    ),
    connect("N-14a", "a percent-encoded dot", "ok%2etest:443", refused("bad_request", "bad_host")),
    connect(
        "N-14b", "a percent-encoded slash", "{m}.evil.test%2f.ok.test:443", refused("bad_request", "bad_host")
    ),
    connect(
        "N-14c", "a vertical tab in the name", "ok.test\x0b.evil.test:443", refused("bad_request", "bad_host")
    ),
    connect("N-14d", "DEL in the name", "ok\x7f.test:443", refused("bad_request", "bad_host")),
    connect("N-16a", "no host", ":443", refused("bad_request", "bad_host")),
    connect("N-17a", "a label of 64 bytes", "a" * 64 + ".ok.test:443", refused("bad_request", "bad_host")),
    connect("N-17b", "a name of 300 bytes", "a." * 150 + "wild.test:443", refused("bad_request", "bad_host")),
    connect("N-18a", "full-width letters", "\xef\xbd\x8fk.test:443", refused("bad_request", "bad_host")),
    connect(
        "N-18b", "an ideographic full stop", "ok\xe3\x80\x82test:443", refused("bad_request", "bad_host")
    ),
    connect("N-18c", "a soft hyphen", "ok.te\xc2\xadst:443", refused("bad_request", "bad_host")),
    connect(
        "N-19",
        "a full-width slash",
        "{m}.evil.test\xef\xbc\x8f.ok.test:443",
        refused("bad_request", "bad_host"),
    ),
    connect(
        "N-20", "a one-dot leader", "ok.test\xe2\x80\xa4evil.test:443", refused("bad_request", "bad_host")
    ),
    connect("N-21", "a homoglyph in its ASCII form", "xn--k-0tb.test:443", _UNLISTED),
    connect(
        "N-22",
        "a broken ASCII form",
        "xn--a-.ok.test:443",
        refused("bad_host", "not_allowed_host", "bad_request"),
    ),
    connect("N-23", "the apex of a wildcard", "wild.test:443", _UNLISTED),
    connect("N-25a", "a name that ends like a wildcard's", "{m}wild.test:443", _UNLISTED),
    connect("N-25b", "the wildcard itself", "*.wild.test:443", refused("bad_host", "bad_request")),
    connect(
        "N-43a",
        "an address before a wildcard with a zone",
        "[::ffff:{ip}%x.wild.test]:443",
        refused("bad_host", "bad_request"),
    ),
    connect("N-44", "a future address literal", "[v1.ok.test]:443", refused("bad_host", "bad_request")),
    connect("N-46a", "an allowed host on port 22", "ok.test:22", refused("port")),
    connect("N-46b", "an allowed host on port 25", "ok.test:25", refused("port")),
    connect("N-46c", "an allowed host on port 8443", "ok.test:8443", refused("port")),
    connect("N-46d", "an allowed host on port 6379", "ok.test:6379", refused("port")),
    connect("N-47a", "no port at all", "ok.test", refused("bad_request", "bad_host")),
)

_REQUESTS: tuple[Case, ...] = (
    sent("N-08b", "user information in a URL", "GET http://ok.test:80@{m}.evil.test/ HTTP/1.1\r\nHost: ok.test\r\n{AUTH}\r\n",
         refused("bad_request", "bad_host", "not_allowed_host", "host_mismatch"), group="names"),
    sent("N-09a", "a backslash in a URL's host", "GET http://{m}.evil.test\\@ok.test/ HTTP/1.1\r\nHost: ok.test\r\n{AUTH}\r\n",
         refused("bad_request", "bad_host"), group="names"),
    sent("N-09b", "a fragment in a URL's host", "GET http://ok.test#@{m}.evil.test/ HTTP/1.1\r\nHost: ok.test\r\n{AUTH}\r\n",
         refused("bad_request", "bad_host"), group="names"),
    sent("N-30", "a Host header that names another host", "GET http://ok.test/ HTTP/1.1\r\nHost: {m}.evil.test\r\n{AUTH}\r\n",
         refused("host_mismatch"), group="names", fix=FIX_AGREE),
    sent("N-31a", "two Host headers", "GET http://ok.test/{m} HTTP/1.1\r\nHost: ok.test\r\nHost: evil.test\r\n{AUTH}\r\n",
         refused("bad_request"), group="names", fix=FIX_AGREE),
    sent("N-31b", "two Host headers, the other order", "GET http://ok.test/{m} HTTP/1.1\r\nHost: evil.test\r\nHost: ok.test\r\n{AUTH}\r\n",
         refused("bad_request"), group="names", fix=FIX_AGREE),
    sent("N-31c", "two names in one Host header", "GET http://ok.test/{m} HTTP/1.1\r\nHost: ok.test, evil.test\r\n{AUTH}\r\n",
         refused("host_mismatch", "bad_request"), group="names", fix=FIX_AGREE),
    sent("N-31d", "a space before the colon of Host", "GET http://ok.test/{m} HTTP/1.1\r\nHost : evil.test\r\n{AUTH}\r\n",
         refused("bad_request"), group="names", fix=FIX_AGREE),
    sent("N-32", "origin form with an unlisted Host, to the proxy port", "GET /{m} HTTP/1.1\r\nHost: {m}.evil.test\r\n{AUTH}\r\n",
         refused("not_allowed_host"), group="names"),
    sent("N-32b", "an unlisted Host on the port that judges by it", "GET /{m} HTTP/1.1\r\nHost: {m}.evil.test\r\n\r\n",
         refused("not_allowed_host"), group="names", to=["{proxy}", 80]),
    sent("N-16b", "an empty Host", "GET /{m} HTTP/1.1\r\nHost:\r\n\r\n", refused("bad_request", "bad_host"), group="names", to=["{proxy}", 80]),
    sent("N-16c", "no Host", "GET /{m} HTTP/1.1\r\n\r\n", refused("bad_request", "bad_host"), group="names", to=["{proxy}", 80]),
    tunnelled("N-29", "domain fronting: another Host inside the tunnel", _evil("{m}.evil.test"), refused("host_mismatch")),
    tunnelled("N-29b", "fronting with another allowed host", _evil("paths.test"), refused("host_mismatch")),
    tunnelled("N-33", "an absolute URL inside the tunnel", "GET http://{m}.evil.test/ HTTP/1.1\r\nHost: {m}.evil.test\r\n\r\n",
              refused("host_mismatch", "bad_request")),
    tunnelled("N-50a", "dot segments in a path", "GET /v1/../admin/{m} HTTP/1.1\r\nHost: paths.test\r\nConnection: close\r\n\r\n",
              refused("path", "bad_request"), host="paths.test", sni="paths.test"),
    tunnelled("N-50b", "encoded dot segments in a path", "GET /v1/%2e%2e/admin/{m} HTTP/1.1\r\nHost: paths.test\r\nConnection: close\r\n\r\n",
              refused("path", "bad_request"), host="paths.test", sni="paths.test"),
    tunnelled("N-50c", "an encoded slash in a path", "GET /v1%2f..%2fadmin/{m} HTTP/1.1\r\nHost: paths.test\r\nConnection: close\r\n\r\n",
              refused("path", "bad_request"), host="paths.test", sni="paths.test"),
    tunnelled("N-50d", "a method that no rule allows", "DELETE /v1/{m} HTTP/1.1\r\nHost: paths.test\r\nConnection: close\r\n\r\n",
              refused("method"), host="paths.test", sni="paths.test"),
    *(
        tunnelled(f"N-50{letter}", title, f"GET {path} HTTP/1.1\r\nHost: paths.test\r\nConnection: close\r\n\r\n",
                  refused("path"), host="paths.test", sni="paths.test", fix=FIX_PATHS)
        for letter, title, path in (
            ("e", "dots in overlong UTF-8", "/v1/%c0%ae%c0%ae/admin/{m}"),
            ("f", "dots about an escaped tab", "/v1/.%09./admin/{m}"),
            ("g", "dots with an escaped blank behind them", "/v1/..%20/admin/{m}"),
            ("h", "fullwidth dots", "/v1/%ef%bc%8e%ef%bc%8e/admin/{m}"),
            ("i", "letters escaped twice", "/v1/%2561dmin/{m}"),
        )
    ),
    *(
        tunnelled(f"N-51{letter}", title, f"GET /v1/{{m}}{query} HTTP/1.1\r\nHost: paths.test\r\n{field}Connection: close\r\n\r\n",
                  refused(reason), host="paths.test", sni="paths.test", fix=FIX_REPLACED)
        for letter, title, query, field, reason in (
            ("a", "another method by header", "", "X-HTTP-Method-Override: DELETE\r\n", "method"),
            ("b", "another method by a header with underscores", "", "X_METHOD_OVERRIDE: PUT\r\n", "method"),
            ("c", "another method by parameter", "?_method=delete", "", "method"),
            ("d", "another method by an escaped parameter", "?%24httpMethod=DELETE", "", "method"),
            ("e", "headers by parameter", "?$httpHeaders=X-HTTP-Method:DELETE", "", "method"),
            ("f", "another path by header", "", "Destination: https://paths.test/admin/{m}\r\n", "path"),
        )
    ),
)  # fmt: skip

_SILENT_SNI = refused("sni_mismatch", silent=True)

_SERVER_NAMES: tuple[Case, ...] = (
    steps("N-28a", "a server name that no rule names, in the tunnel",
          [["connect", "ok.test:443", "{auth}"], ["tls", {"sni": "{m}.evil.test"}], ["send", _GET]], _SILENT_SNI, group="names", fix=FIX_AGREE),
    steps("N-28b", "the server name of another allowed host",
          [["connect", "ok.test:443", "{auth}"], ["tls", {"sni": "paths.test"}], ["send", _GET]], _SILENT_SNI, group="names", fix=FIX_AGREE),
    steps("N-28c", "another server name to a passed-through host",
          [["connect", "pass.test:443", "{auth}"], ["tls", {"sni": "{m}.evil.test"}], ["send", _GET]], _SILENT_SNI, group="names", fix=FIX_AGREE),
    steps("N-28d", "an unlisted server name, without CONNECT",
          [["tls", {"sni": "{m}.evil.test"}], ["send", _evil("{m}.evil.test")]], refused("not_allowed_host"), group="names", to=["{proxy}", 443]),
    hello("N-38a", "no server name at all", None, refused("no_sni", silent=True)),
    hello("N-38b", "no server name, in a tunnel", None, refused("no_sni", silent=True), to=PROXY, authority="ok.test:443"),
    hello("N-39a", "two server names", [[0, "ok.test"], [0, "{m}.evil.test"]], refused("no_sni", "bad_host", "not_tls_or_http", "sni_mismatch", "not_allowed_host", silent=True)),
    hello("N-39b", "a server name of another type", [[1, "ok.test"]], refused("no_sni", "bad_host", "not_tls_or_http", silent=True)),
    hello("N-39c", "an empty server name", [[0, ""]], refused("no_sni", "bad_host", "not_tls_or_http", silent=True)),
    hello("N-39d", "the extension twice", [[0, "ok.test"]], refused("no_sni", "bad_host", "not_tls_or_http", silent=True), doubled=True),
    hello("N-39e", "an unlisted name behind 12 kB of padding, in pieces", [[0, "{m}.evil.test"]],
          refused("not_allowed_host", silent=True), extra=[[21, 12000]], records=3, to=PROXY, authority="{m}.evil.test:443"),
    hello("N-40a", "an address as server name", [[0, "127.0.0.1"]], refused("ip_literal", "bad_host", silent=True)),
    hello("N-40b", "a NUL in the server name", [[0, "ok.test\0.evil.test"]], refused("bad_host", "not_tls_or_http", "no_sni", silent=True)),
    hello("N-41", "an encrypted ClientHello with an unlisted outer name", [[0, "{m}.evil.test"]],
          refused("sni_mismatch", silent=True), extra=[[0xFE0D, 64]], to=PROXY, authority="ok.test:443"),
)  # fmt: skip

CASES: tuple[Case, ...] = (*_CONNECTS, *_REQUESTS, *_SERVER_NAMES)
