"""What each hook does when it must refuse, and the wrapper that refuses on any exception."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from mitmproxy import connection, dns, http
from mitmproxy.net.dns import response_codes
from mitmproxy.proxy import layer, server_hooks

from proxy.admission.session import UNKNOWN_ORIGIN, Origin
from proxy.destination.judge import Judged
from proxy.hooks.clients import Clients
from proxy.hooks.recorder import Recorder
from proxy.layers.refuse import RefuseLayer
from proxy.policy.model import Decision
from proxy.policy.problems import CONTENT_TYPE, Problem, problem_for
from proxy.policy.refusal import INTERNAL_ERROR, RefusedError


class Addon(Protocol):
    """What a refusal needs of the addon whose hook refused."""

    clients: Clients
    recorder: Recorder


Refuser = Callable[[Addon, Any, Decision], None]
"""(addon, the hook's argument, decision): makes mitmproxy refuse."""


def fail_closed(refuse: Refuser) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Wrap a deciding hook: a RefusedError refuses as it says, any other exception refuses too.

    The exception's text is not logged, since it may quote what the client sent; its type and place are.
    """

    def wrap(hook: Callable[..., Any]) -> Callable[..., Any]:
        def on_error(addon: Addon, data: Any, exc: Exception) -> None:
            decision = exc.decision if isinstance(exc, RefusedError) else INTERNAL_ERROR
            if decision is INTERNAL_ERROR:
                frame = inspect.trace()[-1]
                structlog.get_logger().error(
                    "hook-failed",
                    hook=hook.__name__,
                    error=type(exc).__name__,
                    at=f"{frame.function}:{frame.lineno}",
                )
            refuse(addon, data, decision)
            _record(addon, data, decision)

        if inspect.iscoroutinefunction(hook):

            @functools.wraps(hook)
            async def guarded_async(self: Addon, data: Any) -> None:
                try:
                    await hook(self, data)
                except Exception as exc:  # noqa: BLE001 - deny is the answer to everything
                    on_error(self, data, exc)

            return guarded_async

        @functools.wraps(hook)
        def guarded(self: Addon, data: Any) -> None:
            try:
                hook(self, data)
            except Exception as exc:  # noqa: BLE001 - deny is the answer to everything
                on_error(self, data, exc)

        return guarded

    return wrap


def _record(addon: Addon, data: object, decision: Decision) -> None:
    """The audit line of a hook that failed or met no grant."""
    client = _client_of(data)
    session = addon.clients.find(getattr(client, "id", ""))
    grant = addon.clients.grants.current(session.sandbox_id) if session else None
    request = getattr(data, "request", None)
    host, port = getattr(request, "host", ""), getattr(request, "port", 0)
    origin = session.origin if session else _origin(client)
    sandbox_id = session.sandbox_id if session else None
    judged = Judged(str(host), int(port), decision)
    request_id = data.id if isinstance(data, http.HTTPFlow) else None  # as in the body: `refuse_flow`
    addon.recorder.record(grant, origin, judged, sandbox_id=sandbox_id, request_id=request_id)


def _client_of(data: object) -> object:
    """The client connection that a hook's argument (a flow, a dial, a layer choice, a client) is about."""
    data = getattr(data, "context", data)
    return getattr(data, "client_conn", None) or getattr(data, "client", None) or data


def _origin(client: object) -> Origin:
    """Of a connection that has no session: one that was refused before it got one."""
    peername = getattr(client, "peername", None)
    return UNKNOWN_ORIGIN._replace(client_port=int(peername[1])) if peername else UNKNOWN_ORIGIN


def refuse_client(_addon: Addon, client: connection.Client, decision: Decision) -> None:
    """Close the connection as soon as it is accepted."""
    client.error = decision.detail


def refuse_layer(_addon: Addon, data: layer.NextLayer, _decision: Decision) -> None:
    """Speak nothing with the client."""
    data.layer = RefuseLayer(data.context)


def refuse_dial(_addon: Addon, data: server_hooks.ServerConnectionHookData, decision: Decision) -> None:
    """Leave the upstream undialled; the client is told by the layer that asked."""
    data.server.error = decision.detail


def abort_server(addon: Addon, data: server_hooks.ServerConnectionHookData, _decision: Decision) -> None:
    """Cut the whole client connection: mitmproxy has no way to refuse a dial that has been made."""
    addon.clients.sockets.abort(data.client.id)


def refuse_flow(_addon: Addon, flow: http.HTTPFlow, decision: Decision) -> None:
    """Answer 403 where nothing has been answered yet, else cut the stream."""
    if flow.response is not None:
        flow.response = None
        flow.kill()
        return
    problem = problem_for(decision, host="", port=None, policy_name="", request_id=flow.id)
    flow.response = to_response(problem)
    flow.request.headers.pop("expect", None)
    flow.request.stream = flow.request.method != "CONNECT"


def refuse_dns(_addon: Addon, flow: dns.DNSFlow, _decision: Decision) -> None:
    """REFUSED: an unanswered query would go to the operating system's resolver."""
    flow.response = flow.request.fail(response_codes.REFUSED)


def to_response(problem: Problem, *, status: int | None = None) -> http.Response:
    """A problem as mitmproxy's response. The reason phrase is all that some clients show of a CONNECT."""
    response = http.Response.make(
        status or problem.status,
        problem.body,
        {
            "content-type": CONTENT_TYPE,
            "connection": "close",
            "cache-control": "no-store",
            # RFC 9209: says in a standard place that the proxy, not the origin, refused.
            "proxy-status": "orchbox; error="
            + ("http_request_denied" if problem.reason_code else "destination_unavailable"),
        },
    )
    response.reason = problem.title
    return response
