"""Runs the proxy with one defence taken out. Copied into an image of the tests' own; never shipped.

`SABOTAGE` names the defence. Each function replaces just what its name says, so that the probe must notice
by that alone.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import runpy
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mitmproxy.net.dns import types
from mitmproxy.proxy.layers import TCPLayer

from proxy import master, server, worker
from proxy.destination import judge, resolve
from proxy.hooks import connections, dials, dns, handover, requests
from proxy.layers import http1, http2, routes
from proxy.policy import limits, paths
from proxy.policy.limits import Limits
from proxy.policy.model import Decision, TlsMode, Verdict
from proxy.secrets import outgoing

ALLOWED = Decision(verdict=Verdict.ALLOW, tls=TlsMode.PASSTHROUGH)


def default_deny() -> None:
    """What no rule names is allowed."""
    decide = judge.decide

    def lax(policy: Any, request: Any) -> Decision:
        decision = decide(policy, request)
        return ALLOWED if decision.reason_code == "not_allowed_host" else decision

    judge.decide = lax


def address_check() -> None:
    """Every answer of a name may be dialled."""
    resolve.is_dialable = lambda *_: ALLOWED


def pinning() -> None:
    """mitmproxy resolves the name again for the dial."""
    connections.ConnectionHooks.server_connect = lambda self, data: None
    connections.ConnectionHooks.server_connected = lambda self, data: None


def server_name_check() -> None:
    """The ClientHello may name anything once there is a tunnel."""
    judged = routes.judge_server_name

    def lax(policy: Any, sni: Any, tunnel: Any) -> Any:
        return judge.judge_destination(policy, *tunnel) if tunnel else judged(policy, sni, tunnel)

    routes.judge_server_name = lax


def host_check() -> None:
    """Host, server name and tunnel need not agree."""
    judge._disagreement = lambda host, facts: None


def protocol_check() -> None:
    """What is neither TLS nor HTTP is carried as it is."""
    refuse = routes._refuse

    def lax(data: Any, session: Any, decision: Any, record: Any) -> None:
        if session.tunnel is None:
            refuse(data, session, decision, record)
            return
        data.context.server.address = session.tunnel
        data.layer = TCPLayer(data.context, ignore=True)

    routes._refuse = lax


def upstream_verification() -> None:
    """Any certificate of an upstream will do."""
    master.REQUIRED_OPTIONS["ssl_insecure"] = True


def dns_sink() -> None:
    """Names are asked outside on behalf of the sandbox."""

    def lax(self: Any, flow: Any) -> None:
        question = flow.request.question
        try:
            found = socket.gethostbyname(question.name)
        except OSError:
            flow.response = flow.request.fail(3)
            return
        record = dns.dns.ResourceRecord.A(question.name, ipaddress.IPv4Address(found), ttl=1)
        flow.response = flow.request.succeed([record] if question.type == types.A else [])

    dns.DnsHooks.dns_request = lax


def token_check() -> None:
    """Any proxy token will do."""
    requests.RequestHooks._is_authorized = lambda self, flow, grant, session: True


def header_cleaning() -> None:
    """The proxy's token and claims about who asks are forwarded."""
    requests.clean_request_headers = lambda headers: None


def listeners() -> None:
    """One port more than there should be."""
    build = server.build_master

    def more(made: Any, tls: Any, *, modes: list[str]) -> Any:
        made.connections.ports[8081] = made.connections.ports[8080]
        return build(made, tls, modes=[*modes, modes[0].replace("8080", "8081")])

    server.build_master = more


def path_rules() -> None:
    """Paths and methods are not looked at."""
    decide = judge.decide
    judge.decide = lambda policy, request: decide(policy, replace(request, method=None, path=None))


def path_spellings() -> None:
    """A path is compared as it stands, in whatever spelling."""
    paths.is_ambiguous_path = lambda path: False


def replacements() -> None:
    """What a server takes in the place of method or path is let through."""
    judge.find_overrides = lambda target, headers: iter(())


def stream_check() -> None:
    """The streams of HTTP/2 are taken as the h2 library takes them."""
    http2.stream_defect = lambda headers: None


def budgets() -> None:
    """A sandbox may have as many requests and connections as it likes."""
    generous = Limits(requests_per_minute=10**9, connections=10**9, bytes_out=None, bytes_in=None)
    for module in (requests, connections):
        module.limits_of = lambda _budgets: generous


def deadlines() -> None:
    """A head may take as long as it likes."""
    limits.HEAD_S = 10**9


def head_check() -> None:
    """Heads are taken as mitmproxy takes them."""
    http1.head_defect = http1.unfinished_head_defect = lambda _raw: None


def credential_pinning() -> None:
    """A pinned host takes anybody's credential."""
    bind = outgoing.binding_of
    outgoing.binding_of = lambda policy, asked: replace(bind(policy, asked), pinned=frozenset())


def credential_binding() -> None:
    """Placeholders may be sent anywhere."""
    watch = outgoing.watched

    def lax(forms: Any, binding: Any) -> Any:
        return tuple(form for form in watch(forms, binding) if form.reason != "credential_host")

    outgoing.watched = lax


def tripwire() -> None:
    """The values that a sandbox holds may leave."""
    watch = outgoing.watched

    def lax(forms: Any, binding: Any) -> Any:
        return tuple(form for form in watch(forms, binding) if form.reason != "secret_leak")

    outgoing.watched = lax
    outgoing.find_in_name = dials.find_in_name = lambda forms, host: None


def reflection() -> None:
    """What an upstream echoes comes back as it is."""
    handover.Handover.take_back = lambda self, flow: None


def own_turns() -> None:
    """The workers work one at a time, as in one process, and a refusal is a third of a second of work."""
    confine, decide = worker.confine, judge.decide

    def taking_turns(parent: int) -> None:
        confine(parent)
        turn = os.open("/tmp/turn", os.O_RDWR | os.O_CREAT)
        select = selectors.DefaultSelector.select

        def selected(self: Any, timeout: float | None = None) -> Any:
            fcntl.flock(turn, fcntl.LOCK_UN)
            found = select(self, timeout)
            fcntl.flock(turn, fcntl.LOCK_EX)
            return found

        selectors.DefaultSelector.select = selected

    def slow(policy: Any, request: Any) -> Decision:
        decision = decide(policy, request)
        if decision.verdict is Verdict.DENY:
            time.sleep(0.3)
        return decision

    worker.confine, judge.decide = taking_turns, slow


SABOTAGES: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        *(default_deny, address_check, pinning, server_name_check, host_check, protocol_check),
        *(upstream_verification, dns_sink, token_check, header_cleaning, listeners, path_rules),
        *(path_spellings, replacements, stream_check, budgets, deadlines, head_check),
        *(credential_pinning, credential_binding, tripwire, reflection, own_turns),
    )
}

if __name__ == "__main__":
    SABOTAGES[os.environ["SABOTAGE"]]()
    runpy.run_module("proxy", run_name="__main__", alter_sys=True)
