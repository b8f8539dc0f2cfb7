"""Actions by name: each takes a case's filled arguments and a trail, and says what it saw."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from .abuse import abuse
from .checks import check
from .exchange import exchange, exchanged, reason_of
from .hello import hello
from .http2 import http2
from .packets import dns, tcp, udp
from .syscalls import ATTEMPTS
from .trail import Trail

Action = Callable[[dict[str, Any], Trail], dict[str, Any]]


def fetch(args: dict[str, Any], _trail: Trail) -> dict[str, Any]:
    """A URL by the standard library's client, redirects followed, the proxy's variables heeded or not."""
    handlers = [] if args.get("by_proxy", True) else [urllib.request.ProxyHandler({})]
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(args["url"], timeout=8) as answer:
            return _said(answer.status, answer.headers.as_bytes(), answer.read(1 << 16))
    except urllib.error.HTTPError as error:
        return _said(error.code, error.headers.as_bytes(), error.read(1 << 16))
    except OSError as error:
        return {"outcome": "silent", "detail": f"{type(error).__name__}: {error}"[:300]}


def syscall(args: dict[str, Any], _trail: Trail) -> dict[str, Any]:
    """One attempt on the kernel, in a child of its own."""
    is_blocked, detail = ATTEMPTS[args["name"]]()
    return {"outcome": "blocked" if is_blocked else "possible", "detail": detail}


def reflected(args: dict[str, Any], trail: Trail) -> dict[str, Any]:
    """A host that echoes its request: `blocked` where it shows our own placeholder, which it never got."""
    head = (
        f"GET {args['path']} HTTP/1.1\r\nHost: {args['host']}\r\nAuthorization: Bearer {args['key']}\r\n\r\n"
    )
    steps = [["connect", f"{args['host']}:443", args["auth"]], ["tls", {"sni": args["host"]}], ["send", head]]
    seen, said = exchanged({"to": args["to"], "steps": steps}, trail)
    if seen.get("statuses") != [200] or b"uthorization" not in said:
        return {**seen, "outcome": "error", "detail": f"nothing was echoed: {seen['detail']}"}
    is_swapped_back = args["key"].encode() in said
    what = "the placeholder" if is_swapped_back else "something else than the placeholder"
    return {**seen, "outcome": "blocked" if is_swapped_back else "possible", "detail": f"{what} came back"}


def _said(status: int, head: bytes, body: bytes) -> dict[str, Any]:
    reasons = [reason_of(head, body)]
    return {"outcome": "answered", "detail": f"answered {status}", "statuses": [status], "reasons": reasons}


ACTIONS: dict[str, Action] = {
    "abuse": abuse,
    "check": check,
    "dns": dns,
    "exchange": exchange,
    "fetch": fetch,
    "hello": hello,
    "http2": http2,
    "reflected": reflected,
    "syscall": syscall,
    "tcp": tcp,
    "udp": udp,
}
