"""Which layer speaks next on a connection: the only place where bytes become a protocol.

Replaces mitmproxy's NextLayer addon, whose fall-backs (raw TCP, DNS, ignored hosts) are all ways out.
Raw TCP can only be refused here: killing a flow in `tcp_start` does not stop it (measured, 12.3).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import layer
from mitmproxy.proxy.layers import TCPLayer
from mitmproxy.proxy.layers.tls import ClientTLSLayer, ServerTLSLayer, parse_client_hello
from mitmproxy.tls import ClientHello

from proxy.admission.session import Entry, Session
from proxy.destination.judge import Judged, judge_server_name
from proxy.layers.http import GuardedHttpLayer, HTTPMode
from proxy.layers.refuse import TLS_ALERT_UNRECOGNIZED_NAME, RefuseLayer
from proxy.layers.tls import ClosingClientTls
from proxy.policy.model import Decision, Policy, TlsMode, Verdict
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import deny

MAX_CLIENT_HELLO_BYTES = 32 << 10
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"  # RFC 9110 section 5.6.2
_METHOD = re.compile(_TOKEN + rb"{1,32} ")
_METHOD_SO_FAR = re.compile(_TOKEN + rb"{0,32}")
HTTP_ALPNS = {b"h2", b"http/1.1", b"http/1.0"}
_NOT_HTTP = deny(ReasonCode.NOT_TLS_OR_HTTP, "only TLS and HTTP are carried here")
_ODD_NAME = deny(ReasonCode.BAD_HOST, "the TLS server name cannot be read in one way only")
_CANNOT_EXPLAIN = {
    ReasonCode.NO_SNI,
    ReasonCode.SNI_MISMATCH,
    ReasonCode.BAD_HOST,
    ReasonCode.IP_LITERAL,
    ReasonCode.NOT_TLS_OR_HTTP,
}
"""Refused in the ClientHello itself: no certificate could name what the client asked for."""

Vet = Callable[[str, int], Awaitable[Decision | None]]
Record = Callable[[Judged], None]


class Checks(NamedTuple):
    """What the addon does for a route."""

    vet: Vet
    """Resolve and check an address to dial."""
    record: Record
    """Write the audit line."""
    spend: Callable[[], Decision | None]
    """Count a request."""
    take_name: Callable[[str], Decision | None]
    """Count a name that needs a certificate."""


async def choose_layer(data: layer.NextLayer, session: Session, policy: Policy, checks: Checks) -> None:
    """Set `data.layer`, or leave it unset to be asked again with more bytes."""
    context, sent = data.context, data.data_client()
    if context.client.transport_protocol != "tcp" or data.data_server():
        raise RuntimeError("only a TCP client that speaks first gets a layer")
    is_in_tls = any(isinstance(known, ClientTLSLayer) for known in context.layers)
    if not is_in_tls and starts_like_tls_record(sent):
        if session.entry is Entry.SNI or session.tunnel:
            await _route_tls(data, session, policy, checks)
        else:
            _refuse(data, session, _NOT_HTTP, checks.record)
        return
    if is_in_tls and context.client.alpn in HTTP_ALPNS:
        data.layer = GuardedHttpLayer(context, HTTPMode.transparent, session)
        return
    if not is_in_tls and len(sent) < 3 and b"\x16\x03".startswith(sent[:2]):
        return
    is_http = _looks_like_http(sent) and not context.client.alpn
    if is_http is None:
        return
    if not is_http or not (is_in_tls or _may_be_clear_text(session)):
        _refuse(data, session, _NOT_HTTP, checks.record)
    elif session.tunnel:
        data.layer = GuardedHttpLayer(context, HTTPMode.transparent, session)
    else:
        data.layer = GuardedHttpLayer(context, HTTPMode.regular, session)


def _may_be_clear_text(session: Session) -> bool:
    if session.tunnel is None:
        return session.entry is not Entry.SNI
    return session.tunnel[1] != 443 and session.refusal is None


async def _route_tls(data: layer.NextLayer, session: Session, policy: Policy, checks: Checks) -> None:
    context, sent = data.context, data.data_client()
    try:
        hello = _client_hello(sent)
    except ValueError:
        _refuse(data, session, _NOT_HTTP, checks.record)
        return
    if hello is None:
        return
    try:
        name = server_name(hello)
    except ValueError:
        _refuse(data, session, _ODD_NAME, checks.record)
        return
    judged = judge_server_name(policy, name, session.tunnel)
    if session.refusal is None:
        judged = await _vetted(judged, checks.vet)
        judged = _counted(judged, checks)
        if judged.decision.verdict is not Verdict.ALLOW:
            checks.record(judged)
            session.refusal = judged.decision
    is_passed = session.refusal is None and judged.decision.tls is TlsMode.PASSTHROUGH
    if judged.decision.reason_code in _CANNOT_EXPLAIN or (not is_passed and checks.take_name(judged.host)):
        data.layer = RefuseLayer(context, farewell=TLS_ALERT_UNRECOGNIZED_NAME)
        return
    session.tunnel = (judged.host, judged.port)
    context.server.address = session.tunnel
    if is_passed:
        session.settle()
        checks.record(judged)
        data.layer = TCPLayer(context, ignore=True)
    else:
        server_tls = ServerTLSLayer(context)
        server_tls.child_layer = ClosingClientTls(context)
        data.layer = server_tls


def _client_hello(sent: bytes) -> ClientHello | None:
    """The ClientHello, or None while it is incomplete. Raises ValueError for anything else."""
    if len(sent) > 5 and sent[5] != 1:  # RFC 8446 section 4: a handshake begins with a ClientHello
        raise ValueError("not a ClientHello")
    hello = parse_client_hello(sent)
    if hello is None and len(sent) > MAX_CLIENT_HELLO_BYTES:
        raise ValueError("a ClientHello without an end")
    return hello


def _counted(judged: Judged, checks: Checks) -> Judged:
    """The same, or its refusal where the sandbox has nothing left for it.

    What is inspected is counted request by request later on; here it costs a certificate.
    """
    is_inspected = judged.decision.verdict is Verdict.ALLOW and judged.decision.tls is TlsMode.INSPECT
    over = checks.take_name(judged.host) if is_inspected else checks.spend()
    return judged._replace(decision=over) if over else judged


def server_name(hello: ClientHello) -> str | None:
    """The one server name of a ClientHello; None where it has none. Raises ValueError for an odd one.

    mitmproxy 12.2 takes the first readable of several extensions, and calls an unreadable one absent.
    """
    extensions = [content for kind, content in hello.extensions if kind == 0]  # RFC 6066 section 3
    if extensions and (len(extensions) > 1 or not hello.sni):
        raise ValueError("a server name that cannot be read in one way only")
    return hello.sni


async def _vetted(judged: Judged, vet: Vet) -> Judged:
    """The same, or its refusal where no address of an allowed name may be dialled."""
    if judged.decision.verdict is Verdict.ALLOW and (failure := await vet(judged.host, judged.port)):
        return judged._replace(decision=failure)
    return judged


def _refuse(data: layer.NextLayer, session: Session, decision: Decision, record: Record) -> None:
    if session.refusal is None:
        host, port = session.tunnel or ("", 0)
        record(Judged(host, port, decision))
    data.layer = RefuseLayer(data.context)


def _looks_like_http(sent: bytes) -> bool | None:
    """Whether the bytes begin with a method and a space; None while they may still come to."""
    if _METHOD.match(sent):
        return not sent.startswith(b"PRI ")  # HTTP/2 without TLS: no stream goes uninspected
    return None if _METHOD_SO_FAR.fullmatch(sent) else False
