"""Short forms for cases. A row of the corpus is one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from runtime.probe.corpus.case import (
    Blocked,
    Case,
    Contained,
    Expect,
    Group,
    Refused,
    Unreachable,
    Unresolved,
    Works,
)

PROXY, BY_SNI, BY_HOST = ["{proxy}", 8080], ["{proxy}", 443], ["{proxy}", 80]
CARET = "\r\n"
_AUTH = "Proxy-Authorization: Basic {auth}\r\n"

FIX_POLICY = "proxy/policy/hosts.py and decide.py: one spelling of a name, deny by default"
FIX_AGREE = "proxy/destination/judge.py: CONNECT, server name, Host and dialled address must agree"
FIX_ADDRESS = "proxy/policy/addresses.py, proxy/destination/resolve.py: every answer checked, the checked address dialled"
FIX_HEAD = "proxy/layers/http.py: what is no clean request is refused before it is parsed"
FIX_PATHS = (
    "proxy/policy/paths.py: a path that two servers could read differently is refused where rules have paths"
)
FIX_REPLACED = (
    "proxy/destination/overrides.py: what would replace the method, path or headers that were judged"
)
FIX_GUARD = "runtime/network/guard.py and networks.py; `orch doctor` says whether the guard is proved"
FIX_DNS = "proxy/hooks/dns.py; the sandbox's only resolver is the proxy (runtime/containers/restrictions.py)"
FIX_SANDBOX = "runtime/containers/restrictions.py: the container's configuration"
FIX_LIMITS = "proxy/policy/limits.py and the policy's budgets"
FIX_SECRETS = "runtime/sandbox/sandbox_init.py, proxy/destination/headers.py"


def refused(*reasons: str, lines: int = 1, silent: bool = False, upstream: int = 0) -> Refused:
    """Refused with one of these reasons."""
    return Refused(frozenset(reasons), lines=lines, is_silent=silent, upstream=upstream)


def connect(id_: str, title: str, authority: str, expect: Expect, *, fix: str = FIX_POLICY) -> Case:
    """A CONNECT to the proxy's explicit port."""
    head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{_AUTH}\r\n"
    return sent(id_, title, head, expect, group="names", fix=fix)


def sent(
    id_: str,
    title: str,
    text: str,
    expect: Expect,
    *,
    group: Group = "protocols",
    fix: str = FIX_HEAD,
    **more: Any,
) -> Case:
    """Bytes (latin-1) to the proxy's explicit port, or `to` another; `{AUTH}` is the token's header line."""
    args = {"to": more.pop("to", PROXY), "steps": [["send", text.replace("{AUTH}", _AUTH)]], **more}
    return Case(id_, group, title, "exchange", args, expect, fix)


def steps(
    id_: str,
    title: str,
    taken: Sequence[list[Any]],
    expect: Expect,
    *,
    group: Group = "protocols",
    fix: str = FIX_HEAD,
    **more: Any,
) -> Case:
    """Steps on one connection; see `inside.exchange`."""
    args = {"to": more.pop("to", PROXY), "steps": list(taken), **more}
    return Case(id_, group, title, "exchange", args, expect, fix)


def tunnelled(
    id_: str, title: str, text: str, expect: Expect, *, host: str = "ok.test", sni: str | None = "ok.test", group: Group = "names",
    fix: str = FIX_AGREE, **more: Any
) -> Case:  # fmt: skip
    """A CONNECT to `host`:443, TLS with `sni`, then bytes."""
    taken: list[list[Any]] = [["connect", f"{host}:443", "{auth}"], ["tls", {"sni": sni}], ["send", text]]
    return steps(id_, title, taken, expect, group=group, fix=fix, **more)


def hello(id_: str, title: str, names: list[list[Any]] | None, expect: Expect, **more: Any) -> Case:
    """A ClientHello of our own: to the port that judges by server name, or through a CONNECT."""
    args = {"to": more.pop("to", BY_SNI), "auth": "{auth}", "names": names, **more}
    return Case(id_, "names", title, "hello", args, expect, FIX_AGREE)


def streams(id_: str, title: str, sent_headers: list[list[list[str]]], expect: Expect, **more: Any) -> Case:
    """HTTP/2 streams in a tunnel to ok.test."""
    args = {
        "to": PROXY,
        "authority": "ok.test:443",
        "auth": "{auth}",
        "sni": "ok.test",
        "streams": sent_headers,
        **more,
    }
    return Case(id_, "protocols", title, "http2", args, expect, FIX_AGREE)


def h2(path: str, *more: list[str], authority: str = "ok.test") -> list[list[str]]:
    """The fields of one GET."""
    return [[":method", "GET"], [":scheme", "https"], [":authority", authority], [":path", path], *more]


def tcp(id_: str, title: str, address: str, port: int | str, *, group: Group = "lateral") -> Case:
    """A TCP connection straight to an address."""
    return Case(id_, group, title, "tcp", {"address": address, "port": port}, Unreachable(), FIX_GUARD)


def udp(id_: str, title: str, address: str, port: int, *, group: Group = "protocols", **more: Any) -> Case:
    """A datagram straight to an address."""
    return Case(
        id_, group, title, "udp", {"address": address, "port": port, **more}, Unreachable(), FIX_GUARD
    )


def asked(id_: str, title: str, name: str, type_: str, expect: Expect | None = None, **more: Any) -> Case:
    """A DNS question to the sandbox's resolver, or to `server`."""
    args = {"name": name, "type": type_, **more}
    return Case(id_, "dns", title, "dns", args, expect or Unresolved(), FIX_DNS)


def checked(
    id_: str, title: str, name: str, *, group: Group = "lateral", fix: str = FIX_SANDBOX, **args: Any
) -> Case:
    """A look at the sandbox itself."""
    return Case(id_, group, title, "check", {"name": name, **args}, Blocked(), fix)


def abused(
    id_: str,
    title: str,
    name: str,
    *,
    reason: str | None = None,
    fix: str = FIX_SANDBOX,
    is_last: bool = False,
    **args: Any,
) -> Case:
    """An abuse, made alone at the end."""
    case = Case(id_, "abuse", title, "abuse", {"name": name, **args}, Contained(reason), fix, is_serial=True)
    return replace(case, is_last=is_last)


def works(id_: str, title: str, action: str, args: dict[str, Any], **more: Any) -> Case:
    """A positive control: what must succeed, so that a refusal elsewhere means something."""
    return Case(
        id_, "control", title, action, args, Works(**more), "the allowed way itself is broken: orch doctor"
    )
