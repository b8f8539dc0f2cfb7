"""Positive controls: what is allowed works, so that a refusal elsewhere means something."""

from __future__ import annotations

from runtime.probe.corpus.build import BY_HOST, BY_SNI, PROXY, h2, works
from runtime.probe.corpus.case import Case

_GET = "GET /echo/{m} HTTP/1.1\r\nHost: ok.test\r\nConnection: close\r\n\r\n"
_LEAKS = (
    *("proxy-authorization", "x-forwarded-for", "forwarded", "x-real-ip", "via"),
    *("x-original-url", "x-rewrite-url", "x-forwarded-prefix", "x_forwarded_uri"),
)

CASES: tuple[Case, ...] = (
    works(
        "C-01",
        "an inspected host by CONNECT",
        "exchange",
        {
            "to": PROXY,
            "steps": [["connect", "ok.test:443", "{auth}"], ["tls", {"sni": "ok.test"}], ["send", _GET]],
        },
        absent=_LEAKS,
    ),
    works(
        "C-02",
        "a passed-through host by CONNECT",
        "exchange",
        {
            "to": PROXY,
            "steps": [
                ["connect", "pass.test:443", "{auth}"],
                ["tls", {"sni": "pass.test"}],
                ["send", _GET.replace("ok.test", "pass.test")],
            ],
        },
    ),
    works(
        "C-03",
        "the port that judges by server name",
        "exchange",
        {"to": BY_SNI, "steps": [["tls", {"sni": "ok.test"}], ["send", _GET]]},
    ),
    works("C-04", "the port that judges by Host", "exchange", {"to": BY_HOST, "steps": [["send", _GET]]}),
    works("C-05", "a client with the proxy's variables", "fetch", {"url": "https://ok.test/echo/{m}"}),
    works("C-06", "a client without them", "fetch", {"url": "https://ok.test/echo/{m}", "by_proxy": False}),
    works(
        "C-07",
        "HTTP/2 in a tunnel",
        "http2",
        {
            "to": PROXY,
            "authority": "ok.test:443",
            "auth": "{auth}",
            "sni": "ok.test",
            "streams": [h2("/echo/{m}")],
        },
    ),
    works(
        "C-08",
        "a name below a wildcard",
        "fetch",
        {"url": "https://a.b.wild.test/echo/{m}"},
    ),
    works(
        "C-09",
        "upper case and a final dot are the same name (N-01, N-02)",
        "exchange",
        {
            "to": PROXY,
            "steps": [["connect", "OK.Test.:443", "{auth}"], ["tls", {"sni": "ok.test"}], ["send", _GET]],
        },
    ),
    works(
        "C-10",
        "claims about who asks, and for which path, are taken off (P-29)",
        "exchange",
        {
            "to": BY_HOST,
            "steps": [
                [
                    "send",
                    "GET /echo/{m} HTTP/1.1\r\nHost: ok.test\r\nX-Forwarded-For: {ip}\r\nForwarded: for={ip}\r\n"
                    "X-Real-IP: {ip}\r\nVia: 1.1 x\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\n"
                    "X-Forwarded-Prefix: /admin\r\nX_Forwarded_Uri: /admin\r\nConnection: close\r\n\r\n",
                ]
            ],
        },
        absent=_LEAKS,
    ),
)
