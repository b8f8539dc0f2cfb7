"""Hands an allowed request over to its upstream and takes the answer back: swaps placeholders, keeps secrets.

Gathers an exchange's facts for `broker`, `body_scan` and `scrub`, and enforces what they say; holds no
decision of its own. What fails here refuses, since the hooks that call it are wrapped.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from mitmproxy import http

from proxy.admission.session import Session
from proxy.contract.grant import Grant
from proxy.destination.judge import Judged
from proxy.destination.query import parse_query
from proxy.hooks.bodies import Bodies, downward
from proxy.hooks.exchange import Exchange, Exchanges
from proxy.hooks.known import KnownSecrets, Uploads
from proxy.hooks.llm_door import LlmDoor
from proxy.layers.websocket import ControlFrames
from proxy.policy.bindings import Binding
from proxy.policy.llm import LLM_HOST
from proxy.policy.model import Decision, Request
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import RefusedError, deny
from proxy.secrets import positions
from proxy.secrets.body_codings import codings_of
from proxy.secrets.broker import Brokered, Head
from proxy.secrets.forms import SecretForms
from proxy.secrets.leak_scan import LeakScan
from proxy.secrets.outgoing import judge_outgoing
from proxy.secrets.scrub import Reflection, StreamScrub

_UPLOAD_HEADER = "x-goog-upload-url"
"""Not Location: a redirect may be of the sandbox's own making."""
_COMPRESSED_ANSWER = deny(
    ReasonCode.INTERNAL_ERROR, "the upstream compressed its answer though asked not to: it cannot be searched"
)


class Handover:
    """What the request hooks call, in the order of a request's life."""

    def __init__(
        self, known: KnownSecrets, uploads: Uploads, exchanges: Exchanges, bodies: Bodies, door: LlmDoor
    ) -> None:
        self._known = known
        self._uploads = uploads
        self._exchanges = exchanges
        self._bodies = bodies
        self._door = door

    # -- on the way out ------------------------------------------------------------------------

    def hand_over(
        self, flow: http.HTTPFlow, grant: Grant, session: Session, judged: Judged
    ) -> Decision | None:
        """Swap the placeholders of an allowed request and watch its body; or the refusal."""
        request = flow.request
        asked = _asked(request, judged)
        if judged.host == LLM_HOST:
            self._door.lead(request, grant, session)
        result = judge_outgoing(
            grant.policy,
            asked,
            _head_of(request),
            grant.secrets,
            known=self._known.of(grant).forms,
            rule_id=judged.decision.rule_id,
            known_uploads=self._uploads.of(grant.sandbox_id),
        )
        if isinstance(result, Decision):
            return result
        binding, search = result
        if search is None:
            self._open(flow, grant, session, judged, binding)
            return None
        used = search.brokered.used
        exchange = self._open(flow, grant, session, judged, binding, forms=search.forms, used=used)
        if search.forms:
            request.stream = self._bodies.upward(exchange, request.method, search.body)
        _apply(request, search.brokered)
        return None

    def _open(
        self,
        flow: http.HTTPFlow,
        grant: Grant,
        session: Session,
        judged: Judged,
        binding: Binding,
        *,
        forms: tuple[SecretForms, ...] = (),
        used: frozenset[str] = frozenset(),
    ) -> Exchange:
        exchange = Exchange(
            client_id=flow.client_conn.id,
            grant=grant,
            session=session,
            judged=judged,
            path=flow.request.path,
            binding=binding,
            used=used,
            upward=LeakScan(forms),
            control=LeakScan(forms),
            reflection=self._reflection(grant, binding),
        )
        self._exchanges.open(flow.id, exchange)
        return exchange

    def _reflection(self, grant: Grant, binding: Binding) -> Reflection:
        hosted = [secret for secret in grant.secrets if secret.name in binding.hosted]
        return Reflection.of(hosted, self._known.of(grant).values if hosted else ())

    # -- on the way back -----------------------------------------------------------------------

    def take_back(self, flow: http.HTTPFlow) -> None:
        """Scrub what the upstream reflects: the head now, the body as it streams by.

        Raises RuntimeError for an upstream's answer to a request that was never handed over.
        """
        exchange, response = self._find(flow), flow.response
        if response is None:
            return
        if exchange is None:
            if flow.server_conn.peername is not None:
                raise RuntimeError("an answer to a request that was not handed over")
            return  # the answer is our own
        if not exchange.binding.hosted:
            return
        reflection = exchange.reflection
        _clean_fields(response.headers, reflection.clean)
        response.data.reason = reflection.clean(response.data.reason)
        if exchange.binding.pinned:  # a client that sends it back would be refused for it
            response.headers.pop("set-cookie", None)
        if exchange.used:
            self._remember_upload(exchange, response)
        if reflection.forms:
            if codings_of(response.headers.fields):
                raise RefusedError(_COMPRESSED_ANSWER)
            response.stream = downward(StreamScrub(reflection))

    def take_back_trailers(self, flow: http.HTTPFlow) -> None:
        """Scrub the trailers, which come behind the body."""
        exchange, response = self._find(flow), flow.response
        if exchange is not None and response is not None and response.trailers:
            _clean_fields(response.trailers, exchange.reflection.clean)

    def check_message(self, flow: http.HTTPFlow) -> None:
        """A WebSocket's newest message; it is dropped where nothing is known of its exchange any more."""
        exchange = self._find(flow)
        if flow.websocket is None:
            return
        if exchange is None:
            flow.websocket.messages[-1].drop()
            return
        self._bodies.check_message(exchange, flow.websocket.messages[-1])

    def guard_control_frames(self, frames: ControlFrames) -> None:
        """Say what may pass in the control frames of a WebSocket that begins."""
        exchange = self._find(frames.flow)
        if exchange is not None:
            frames.check = lambda payload: self._bodies.is_clean_control(exchange, payload)
            frames.scrub = exchange.reflection.clean
            frames.refuse = lambda decision: self._bodies.refuse_websocket(exchange, decision)

    def let_go(self, flow: http.HTTPFlow) -> None:
        """The flow has ended, however it did: nothing of it is kept."""
        self._exchanges.close(flow.client_conn.id, flow.id)

    def _find(self, flow: http.HTTPFlow) -> Exchange | None:
        return self._exchanges.find(flow.client_conn.id, flow.id)

    def _remember_upload(self, exchange: Exchange, response: http.Response) -> None:
        query = urlsplit(response.headers.get(_UPLOAD_HEADER, "")).query
        for parameter in parse_query("?" + query)[1]:
            if parameter.name == positions.UPLOAD_PARAMETER:
                self._uploads.remember(exchange.grant.sandbox_id, parameter.value)


def _asked(request: http.Request, judged: Judged) -> Request:
    return Request(
        host=judged.host,
        port=judged.port,
        scheme="https" if request.scheme == "https" else "http",
        method=request.method,
        path=request.path,
    )


def _head_of(request: http.Request) -> Head:
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.fields]
    return Head(request.data.path.decode("latin-1"), tuple(fields))


def _apply(request: http.Request, result: Brokered) -> None:
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in result.head.headers]
    request.headers.fields = tuple(fields)
    request.data.path = result.head.target.encode("latin-1")
    if result.is_bound:
        request.headers["accept-encoding"] = "identity"  # what comes back is searched


def _clean_fields(headers: http.Headers, clean: Callable[[bytes], bytes]) -> None:
    headers.fields = tuple((clean(name), clean(value)) for name, value in headers.fields)
