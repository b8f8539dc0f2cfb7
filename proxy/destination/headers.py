"""Headers that never cross the proxy: hop by hop (RFC 9110 section 7.6.1), and what only a proxy may say.

The latter claim who is asking, or that host or path were others before a proxy rewrote them, and a server
that believes them takes another path than the one that was judged.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import RefusedError, deny

MAX_CONNECTION_OPTIONS = 32
_TOO_MANY_OPTIONS = deny(
    ReasonCode.BAD_REQUEST, f"the Connection header names more than {MAX_CONNECTION_OPTIONS} options"
)
_NEVER_FORWARDED = {
    "forwarded",
    "keep-alive",
    "max-forwards",
    "proxy-authorization",
    "proxy-connection",
    "sec-websocket-extensions",
    "te",
    "via",
    "x-host",
    "x-http-host-override",
    "x-http-path-override",
    "x-path-info",
    "x-real-ip",
    "x-request-uri",
    "x-script-name",
    "x-waws-unencoded-url",
}
_OF_PROXIES = ("x-envoy-", "x-forwarded", "x-original-", "x-override-", "x-rewrite-")
"""How the names of such headers begin; there are more of them than anybody lists."""
_NEVER_RETURNED = {"alt-svc", "proxy-authenticate", "proxy-connection", "proxy-status"}
_KEPT_CONNECTION_OPTIONS = {"close", "keep-alive"}


def clean_request_headers(headers: MutableMapping[Any, Any]) -> None:
    """Drop hop-by-hop headers, those that Connection names, and every upgrade but WebSocket's.

    Raises RefusedError where Connection names more than anybody needs, since each name is looked for in each
    header.
    """
    named = headers.get("connection", "")
    if named.count(",") >= MAX_CONNECTION_OPTIONS:
        raise RefusedError(_TOO_MANY_OPTIONS)
    options = [o.strip().lower() for o in named.split(",") if o.strip()]
    is_websocket = headers.get("upgrade", "").strip().lower() == "websocket"
    kept = _KEPT_CONNECTION_OPTIONS | ({"upgrade"} if is_websocket else set())
    named = set(options) - {*kept, "host", "content-length", "transfer-encoding"}
    for name in {name for name in headers if name.lower() in named or _is_never_forwarded(name)}:
        del headers[name]
    if not is_websocket:
        headers.pop("upgrade", None)
        headers.pop("http2-settings", None)
    headers.pop("connection", None)
    if remaining := [o for o in options if o in kept]:
        headers["connection"] = ", ".join(remaining)


def _is_never_forwarded(name: str) -> bool:
    """As servers read a name: to CGI and its heirs `_` is `-`."""
    known = name.lower().replace("_", "-").replace(".", "-")
    return known in _NEVER_FORWARDED or known.startswith(_OF_PROXIES)


def clean_response_headers(headers: MutableMapping[Any, Any]) -> None:
    """Drop what would send the client to another way out, or pose as this proxy."""
    for name in _NEVER_RETURNED:
        headers.pop(name, None)
