"""The hooks on requests. Each gathers facts, asks `proxy.destination.judge`, and enforces the answer.

mitmproxy logs an addon's exception and goes on, which would let the traffic through, so every deciding
hook is wrapped: any exception turns into that hook's own refusal.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from mitmproxy import http, websocket

from proxy.admission.grants import is_token_of
from proxy.admission.proxy_user import EXPLAIN_USER, parse_proxy_authorization
from proxy.admission.session import SILENT, SNI_PORT, UNKNOWN_ORIGIN, Entry, Session
from proxy.destination.headers import clean_request_headers, clean_response_headers
from proxy.destination.heads import HeadDefect
from proxy.destination.judge import Judged, RequestFacts, as_sent, judge_connect, judge_request
from proxy.hooks.clients import Clients
from proxy.hooks.dials import Dials
from proxy.hooks.fail_closed import fail_closed, refuse_flow, to_response
from proxy.hooks.handover import Handover
from proxy.hooks.recorder import Recorder
from proxy.layers.failures import FailedRequest
from proxy.layers.websocket import ControlFrames
from proxy.policy.hosts import is_ip_literal
from proxy.policy.limits import SILENCE_S, limits_of
from proxy.policy.model import Verdict
from proxy.policy.problems import problem_for, upstream_problem
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import RefusedError, deny

if TYPE_CHECKING:
    from proxy.contract.grant import Grant

_EXTENSIONS = "sec-websocket-extensions"
_UNASKED_EXTENSION = deny(
    ReasonCode.BAD_ANSWER, "the upstream chose a WebSocket extension that was not offered"
)


class RequestHooks:
    """From a request's head to the end of its flow."""

    name = "orchbox-requests"

    def __init__(self, clients: Clients, recorder: Recorder, dials: Dials, handover: Handover) -> None:
        self.clients = clients
        self.recorder = recorder
        self._dials = dials
        self._handover = handover

    @fail_closed(refuse_flow)
    async def http_connect(self, flow: http.HTTPFlow) -> None:
        """CONNECT: the token, the name, the port, the address; refused before any lookup or dial."""
        session = self.clients.sessions[flow.client_conn.id]
        grant = self.clients.grant_of(session)
        if session.entry is not Entry.EXPLICIT or session.tunnel is not None:
            judged = Judged(
                flow.request.host, flow.request.port, deny(ReasonCode.METHOD, "CONNECT is not carried here")
            )
            self._refuse(flow, grant, session, judged)
            return
        if not self._is_authorized(flow, grant, session):
            return
        judged = await self._judge_tunnel(flow, grant, session)
        if judged.decision.verdict is Verdict.ALLOW:
            session.tunnel = (judged.host, judged.port)
            session.owe(SILENT, within_s=SILENCE_S)
            flow.request.data.host = judged.host
            return
        user = parse_proxy_authorization(flow.request.headers.get("proxy-authorization"))
        # No server name could be sent for an address, so there is no TLS to answer it in.
        is_readable = (
            judged.port == SNI_PORT
            and judged.decision.reason_code is not ReasonCode.BAD_HOST
            and not is_ip_literal(judged.host)
        )
        is_recorded = session.refusal is not None
        if user and user.name == EXPLAIN_USER and is_readable:
            session.tunnel, session.refusal = (judged.host, judged.port), judged.decision
            session.owe(SILENT, within_s=SILENCE_S)
            if not is_recorded:
                session.refusal_id = self.recorder.record(grant, session.origin, judged, method="CONNECT")
            return
        self._refuse(flow, grant, session, judged, is_recorded=is_recorded)

    async def _judge_tunnel(self, flow: http.HTTPFlow, grant: Grant, session: Session) -> Judged:
        judged = judge_connect(
            grant.policy, as_sent(flow.request.host), flow.request.port, flow.request.headers.get_all("host")
        )
        allowed, now = limits_of(grant.policy.budgets), self.clients.meters.clock()
        over = session.refusal or session.meter.take_tunnel(allowed, now)
        if over is None and judged.decision.verdict is Verdict.ALLOW:
            over = await self._dials.vet(session, grant, judged.host, judged.port)
        elif over is None:  # what is refused here is a request of its own
            over = session.meter.take_request(allowed, now)
        return judged._replace(decision=over) if over else judged

    @fail_closed(refuse_flow)
    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Every request, every HTTP/2 stream: all places that name a destination agree, then the policy."""
        session = self.clients.sessions[flow.client_conn.id]
        grant = self.clients.grant_of(session)
        if session.refusal is not None:
            where = session.tunnel or (flow.request.host, flow.request.port)
            self._refuse(flow, grant, session, Judged(*where, session.refusal), is_recorded=True)
            return
        if flow.error is not None:  # mitmproxy found the request invalid and will answer it
            return
        is_first_hand = session.entry is Entry.EXPLICIT and session.tunnel is None
        if is_first_hand and not self._is_authorized(flow, grant, session):
            return
        clean_request_headers(flow.request.headers)
        judged = judge_request(grant.policy, _facts(flow, session))
        if over := session.meter.take_request(limits_of(grant.policy.budgets), self.clients.meters.clock()):
            judged = judged._replace(decision=over)
        if judged.decision.verdict is Verdict.ALLOW:
            failure = await self._dials.vet(session, grant, judged.host, judged.port)
            judged = judged._replace(decision=failure) if failure else judged
        if judged.decision.verdict is not Verdict.ALLOW:
            self._refuse(flow, grant, session, judged)
            return
        flow.request.data.host = judged.host
        flow.request.stream, path = True, flow.request.path
        if refusal := self._handover.hand_over(flow, grant, session, judged):
            self._refuse(flow, grant, session, judged._replace(decision=refusal))
            return
        self.recorder.record(grant, session.origin, judged, method=flow.request.method, path=path)

    @fail_closed(refuse_flow)
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Stream the body; never hand the client a way round (Alt-Svc)."""
        if self.clients.find(flow.client_conn.id) is None:  # nobody is left to answer
            flow.kill()
            return
        if flow.response is not None:
            if flow.response.status_code == 101 and _EXTENSIONS in flow.response.headers:
                raise RefusedError(_UNASKED_EXTENSION)
            clean_response_headers(flow.response.headers)
            flow.response.stream = True
            self._handover.take_back(flow)

    @fail_closed(refuse_flow)
    def response(self, flow: http.HTTPFlow) -> None:
        """The body has gone by: what comes behind it."""
        self._handover.take_back_trailers(flow)

    def request_failed(self, data: FailedRequest) -> None:
        """A malformed head or answer (our refusal) or a failed upstream (not one), in problem+json."""
        defect = data.defect
        if defect is None and data.status in {400, 413, 431}:
            defect = HeadDefect(data.status, "the request is malformed")
        if defect is not None:
            self._refuse_malformed(data, defect)
            return
        host = data.flow.request.host if data.flow else ""
        problem = upstream_problem(
            host=host, status=data.status, detail=_upstream_detail(data), request_id=uuid.uuid4().hex
        )
        data.response = to_response(problem)

    def _refuse_malformed(self, data: FailedRequest, defect: HeadDefect) -> None:
        request_id = uuid.uuid4().hex
        session = self.clients.find(data.context.client.id)
        grant = self.clients.grants.current(session.sandbox_id) if session else None
        judged = Judged(data.flow.request.host if data.flow else "", 0, deny(defect.reason, defect.detail))
        over = None
        if session and grant and session.refusal is None and defect.reason is not ReasonCode.BAD_ANSWER:
            over = session.meter.take_request(limits_of(grant.policy.budgets), self.clients.meters.clock())
        if over is not None:
            judged, data.is_over_budget = judged._replace(decision=over), True
        origin = session.origin if session else UNKNOWN_ORIGIN
        self.recorder.record(grant, origin, judged, request_id=request_id)
        problem = problem_for(
            judged.decision,
            host=judged.host,
            port=None,
            policy_name=grant.policy.name if grant else "",
            request_id=request_id,
            status=None if over else defect.status,
        )
        data.response = to_response(problem)

    @fail_closed(refuse_flow)
    def websocket_message(self, flow: http.HTTPFlow) -> None:
        """Keep no message: mitmproxy 12.2 would hold every one until the connection ends."""
        if isinstance(flow.websocket, websocket.WebSocketData):
            self._handover.check_message(flow)
            flow.websocket.messages.clear()

    def websocket_opening(self, frames: ControlFrames) -> None:
        """Say what may pass in its control frames; nothing may where this fails."""
        self._handover.guard_control_frames(frames)

    def flow_ended(self, flow: http.HTTPFlow) -> None:
        """Forget the exchange of a flow, however it ended."""
        self._handover.let_go(flow)

    # -- shared --------------------------------------------------------------------------------

    def _is_authorized(self, flow: http.HTTPFlow, grant: Grant, session: Session) -> bool:
        """No token is no claim, and identity is the network; a wrong one is refused (docs/adr/0006)."""
        user = parse_proxy_authorization(flow.request.headers.get("proxy-authorization"))
        is_absent = "proxy-authorization" not in flow.request.headers
        if is_absent or (user is not None and is_token_of(grant, user.password)):
            return True
        decision = deny(ReasonCode.NO_GRANT, "the proxy token is not this sandbox's")
        self._refuse(flow, grant, session, Judged(flow.request.host, flow.request.port, decision))
        return False

    def _refuse(
        self,
        flow: http.HTTPFlow,
        grant: Grant,
        session: Session,
        judged: Judged,
        *,
        is_recorded: bool = False,
    ) -> None:
        request_id = (session.refusal_id if is_recorded else None) or uuid.uuid4().hex
        judged = self.recorder.masked(grant, judged)
        problem = problem_for(
            judged.decision,
            host=judged.host,
            port=judged.port,
            policy_name=grant.policy.name,
            request_id=request_id,
        )
        flow.response = to_response(problem)
        flow.request.headers.pop("expect", None)
        flow.request.stream = flow.request.method != "CONNECT"  # a body still to come is never read
        if not is_recorded:
            method, path = (
                flow.request.method,
                None if flow.request.method == "CONNECT" else flow.request.path,
            )
            self.recorder.record(
                grant, session.origin, judged, method=method, path=path, request_id=request_id
            )


def _facts(flow: http.HTTPFlow, session: Session) -> RequestFacts:
    request = flow.request
    return RequestFacts(
        method=request.method,
        scheme=request.scheme,
        host=as_sent(request.host),
        port=request.port,
        target=request.path,
        host_headers=tuple(request.headers.get_all("host")),
        authority=request.authority,
        is_http2=request.is_http2,
        sni=flow.client_conn.sni,
        tunnel=session.tunnel,
        headers=tuple(request.headers.items(multi=True)),
    )


def _upstream_detail(data: FailedRequest) -> str:
    """Our words for mitmproxy's; its own text may name addresses."""
    if "ertificate" in data.message:
        return "the upstream's certificate could not be verified"
    return "no connection to the upstream" if data.status == 502 else "the upstream ended the exchange"
