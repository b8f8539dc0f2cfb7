"""Hooks about secrets: gathers an exchange's facts for `broker`, `body_scan` and `scrub`, and enforces them.

Holds no decision of its own. Whatever fails here refuses: the callers are wrapped, and the callables that
mitmproxy runs on each piece of a body turn every exception into BodyRefusedError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import structlog
from mitmproxy import http

from proxy.admission.session import Origin, Session
from proxy.contract.grant import Grant, GrantSecret
from proxy.contract.messages import OWN_HEADERS, SANDBOX_HEADER
from proxy.control.llm_relay import LOOPBACK
from proxy.destination.judge import Judged
from proxy.hooks.dns import NameHooks
from proxy.hooks.fail_closed import to_response
from proxy.layers.refuse import BodyRefusedError
from proxy.layers.websocket import CONTROL_CHECK, CONTROL_SCRUB
from proxy.policy.bindings import Binding, binding_of
from proxy.policy.llm import LLM_HOST
from proxy.policy.model import Decision, Policy, Request
from proxy.policy.problems import problem_for
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import INTERNAL_ERROR, RefusedError, deny
from proxy.secrets import positions
from proxy.secrets.body_codings import UnreadableBodyError
from proxy.secrets.body_scan import BodyScan
from proxy.secrets.broker import Brokered, Head, broker, forms_of, leak_decision, watched
from proxy.secrets.forms import SecretForms, find_form, find_in_name
from proxy.secrets.leak_scan import LeakError, LeakScan
from proxy.secrets.scrub import Reflection, StreamScrub

MAX_UPLOADS = 256
"""Upload sessions remembered for a sandbox; the oldest is forgotten."""
MASK = "***"
_EXCHANGE = "orchbox_exchange"
_UPLOAD_HEADER = "x-goog-upload-url"
"""Not Location: a redirect may be of the sandbox's own making."""
_UNREADABLE = deny(
    ReasonCode.SECRET_LEAK,
    "the body is in a content coding that cannot be looked into; send it as it is, or as gzip, deflate or br",
)
_COMPRESSED_ANSWER = deny(
    ReasonCode.INTERNAL_ERROR, "the upstream compressed its answer though asked not to: it cannot be searched"
)


class _Known(NamedTuple):
    """What is derived from a sandbox's secrets, as long as its grant holds just these."""

    secrets: tuple[GrantSecret, ...]
    forms: tuple[SecretForms, ...]
    values: tuple[SecretForms, ...]


@dataclass(slots=True)
class _Exchange:
    """One request and its answer; lives as long as mitmproxy's flow. Shows nothing."""

    grant: Grant = field(repr=False)
    session: Session
    judged: Judged
    path: str
    binding: Binding
    used: frozenset[str]
    upward: LeakScan = field(repr=False)
    """For the messages of a WebSocket."""
    control: LeakScan = field(repr=False)
    """For its control frames."""
    reflection: Reflection = field(repr=False)


class SecretHooks(NameHooks):
    """What the deciding hooks call."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._secrets: dict[str, _Known] = {}
        self._uploads: dict[str, dict[str, None]] = {}
        """Sandbox -> ids of the uploads that it began with its own credential, oldest first."""

    def drop_sandbox(self, sandbox_id: str) -> None:
        """Forget its secrets with its connections."""
        self._secrets.pop(sandbox_id, None)
        self._uploads.pop(sandbox_id, None)
        super().drop_sandbox(sandbox_id)

    # -- on the way out ------------------------------------------------------------------------

    async def _vet(self, session: Session, policy: Policy, host: str, port: int) -> Decision | None:
        """A secret in a name is refused before the name is looked up anywhere."""
        found = find_in_name(self._known(self._grant(session)).forms, host)
        if found is not None:
            return leak_decision(found, host=MASK, rule_id=None)
        return await super()._vet(session, policy, host, port)

    def hand_over(
        self, flow: http.HTTPFlow, grant: Grant, session: Session, judged: Judged
    ) -> Decision | None:
        """Swap the placeholders of an allowed request and watch its body; or the refusal."""
        request = flow.request
        asked = Request(
            host=judged.host,
            port=judged.port,
            scheme="https" if request.scheme == "https" else "http",
            method=request.method,
            path=request.path,
        )
        if judged.host == LLM_HOST:
            self._lead_to_router(flow, grant, session)
        binding = binding_of(grant.policy, asked)
        if not grant.secrets and not binding.hosted:
            return None
        forms = watched(self._known(grant).forms, binding)
        if (found := find_in_name(forms, request.method)) is not None:  # clients write it in capitals
            return leak_decision(found, host=judged.host, rule_id=judged.decision.rule_id)
        result = broker(
            _head_of(request),
            binding,
            grant.secrets,
            forms=forms,
            host=judged.host,
            rule_id=judged.decision.rule_id,
            known_uploads=self._uploads.get(grant.sandbox_id, {}),
        )
        if isinstance(result, Decision):
            return result
        hosted = [secret for secret in grant.secrets if secret.name in binding.hosted]
        exchange = _Exchange(
            grant=grant,
            session=session,
            judged=judged,
            path=request.path,
            binding=binding,
            used=result.used,
            upward=LeakScan(forms),
            control=LeakScan(forms),
            reflection=Reflection.of(hosted),
        )
        flow.metadata[_EXCHANGE] = exchange
        flow.metadata[CONTROL_CHECK] = partial(self._is_clean_control, flow, exchange)
        flow.metadata[CONTROL_SCRUB] = exchange.reflection.clean
        try:
            scan = BodyScan(forms, _codings_to_undo(request, grant))
        except UnreadableBodyError:
            return _UNREADABLE
        if forms:
            request.stream = self._upward(exchange, request.method, scan)
        _apply(request, result)
        return None

    def _lead_to_router(self, flow: http.HTTPFlow, grant: Grant, session: Session) -> None:
        """Without the client's credentials, which mean nothing there, and with the sandbox's name."""
        request, port = flow.request, self.llm_port
        if port is None:
            raise RuntimeError("there is no relay to the LLM router")
        for name in {name.lower() for name in request.headers}:
            if name.startswith(OWN_HEADERS) or positions.is_credential_header(name):
                del request.headers[name]
        request.headers[SANDBOX_HEADER] = grant.sandbox_id
        request.data.port = port
        session.pins[LLM_HOST, port] = LOOPBACK

    def _upward(self, exchange: _Exchange, method: str, scan: BodyScan) -> Callable[[bytes], list[bytes]]:
        def stream(data: bytes) -> list[bytes]:
            """Mitmproxy calls this with each piece of the body, and with nothing at its end."""
            try:
                piece = scan.feed(data) if data else scan.finish()
            except Exception as exc:  # noqa: BLE001 - a body that cannot be judged goes no further
                decision = _decision_on(exc, exchange.judged)
                raise BodyRefusedError(self._refuse_body(exchange, method, decision)) from None
            return [piece] if piece else []

        return stream

    def _refuse_body(self, exchange: _Exchange, method: str, decision: Decision) -> http.Response:
        judged = exchange.judged._replace(decision=decision)
        request_id = self._record(
            exchange.grant, exchange.session.origin, judged, method=method, path=exchange.path
        )
        problem = problem_for(
            decision,
            host=judged.host,
            port=judged.port,
            policy_name=exchange.grant.policy.name,
            request_id=request_id,
        )
        return to_response(problem)

    # -- on the way back -----------------------------------------------------------------------

    def take_back(self, flow: http.HTTPFlow) -> None:
        """Scrub what the upstream reflects: the head now, the body as it streams by."""
        exchange, response = flow.metadata.get(_EXCHANGE), flow.response
        if exchange is None or response is None or not exchange.binding.hosted:
            return
        reflection = exchange.reflection
        response.headers.fields = tuple(
            (reflection.clean(name), reflection.clean(value)) for name, value in response.headers.fields
        )
        response.data.reason = reflection.clean(response.data.reason)
        if exchange.binding.pinned:  # a client that sends it back would be refused for it
            response.headers.pop("set-cookie", None)
        if exchange.used:
            self._remember_upload(exchange, response)
        codings = response.headers.get("content-encoding", "identity")
        if codings.strip().lower() not in {"", "identity"} and reflection.replacements:
            raise RefusedError(_COMPRESSED_ANSWER)
        if reflection.replacements:
            response.stream = _downward(StreamScrub(reflection))

    def take_back_trailers(self, flow: http.HTTPFlow) -> None:
        """Scrub the trailers, which come behind the body."""
        exchange, response = flow.metadata.get(_EXCHANGE), flow.response
        if exchange is not None and response is not None and response.trailers:
            clean = exchange.reflection.clean
            response.trailers.fields = tuple(
                (clean(name), clean(value)) for name, value in response.trailers.fields
            )

    def check_message(self, flow: http.HTTPFlow) -> None:
        """A WebSocket's messages: the sandbox's are searched, the upstream's scrubbed."""
        exchange = flow.metadata.get(_EXCHANGE)
        if exchange is None or flow.websocket is None:
            return
        message = flow.websocket.messages[-1]
        try:
            if message.from_client:
                exchange.upward.feed(message.content)
            else:
                message.content = exchange.reflection.clean(message.content)
        except Exception as exc:  # noqa: BLE001 - killing the flow would not stop the message
            message.drop()
            self._cut_websocket(flow, exchange, exc)

    def _is_clean_control(self, flow: http.HTTPFlow, exchange: _Exchange, payload: bytes) -> bool:
        try:
            exchange.control.feed(payload)
        except Exception as exc:  # noqa: BLE001 - mitmproxy would only log it
            self._cut_websocket(flow, exchange, exc)
            return False
        return True

    def _cut_websocket(self, flow: http.HTTPFlow, exchange: _Exchange, exc: Exception) -> None:
        self._refuse_body(exchange, "WEBSOCKET", _decision_on(exc, exchange.judged))
        self.abort(flow.client_conn.id)

    def _remember_upload(self, exchange: _Exchange, response: http.Response) -> None:
        uploads = self._uploads.setdefault(exchange.grant.sandbox_id, {})
        query = urlsplit(response.headers.get(_UPLOAD_HEADER, "")).query
        for parameter in positions.parse_query("?" + query)[1]:
            if parameter.name == positions.UPLOAD_PARAMETER:
                uploads[parameter.value] = None
        while len(uploads) > MAX_UPLOADS:
            uploads.pop(next(iter(uploads)))

    # -- what is told --------------------------------------------------------------------------

    def _record(
        self,
        grant: Grant | None,
        origin: Origin,
        judged: Judged,
        *,
        method: str | None = None,
        path: str | None = None,
        **more: Any,
    ) -> str:
        """As SharedState's; a sandbox cannot put a value into the audit by naming it in a request."""
        path = self._mask(grant, path.partition("?")[0]) if path else path
        method = self._mask(grant, method) if method else method
        return super()._record(grant, origin, self._masked(grant, judged), method=method, path=path, **more)

    def _masked(self, grant: Grant | None, judged: Judged) -> Judged:
        decision = judged.decision
        if not grant or not grant.secrets:
            return judged
        detail = self._mask(grant, decision.detail)
        return Judged(self._mask(grant, judged.host), judged.port, replace(decision, detail=detail))

    def _mask(self, grant: Grant | None, text: str) -> str:
        values = self._known(grant).values if grant else ()
        raw = text.encode(errors="surrogateescape")
        return MASK if find_form(values, raw) or find_in_name(values, text) else text

    def _known(self, grant: Grant) -> _Known:
        known = self._secrets.get(grant.sandbox_id)
        if known is None or known.secrets is not grant.secrets:
            forms = forms_of(grant.secrets)
            values = tuple(form for form in forms if form.reason is ReasonCode.SECRET_LEAK)
            known = self._secrets[grant.sandbox_id] = _Known(grant.secrets, forms, values)
        return known


def _decision_on(exc: Exception, judged: Judged) -> Decision:
    match exc:
        case LeakError():
            return leak_decision(exc.found, host=judged.host, rule_id=judged.decision.rule_id)
        case UnreadableBodyError():
            return _UNREADABLE
    structlog.get_logger().error("body-scan-failed", error=type(exc).__name__)
    return INTERNAL_ERROR


def _codings_to_undo(request: http.Request, grant: Grant) -> list[str]:
    """A sandbox that holds placeholders only has nothing in hiding that is worth looking for."""
    has_values = any(secret.placeholder is None for secret in grant.secrets)
    return request.headers.get_all("content-encoding") if has_values else []


def _head_of(request: http.Request) -> Head:
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.fields]
    return Head(request.data.path.decode("latin-1"), tuple(fields))


def _apply(request: http.Request, result: Brokered) -> None:
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in result.head.headers]
    request.headers.fields = tuple(fields)
    request.data.path = result.head.target.encode("latin-1")
    if result.is_bound:
        request.headers["accept-encoding"] = "identity"  # what comes back is searched


def _downward(scrub: StreamScrub) -> Callable[[bytes], list[bytes]]:
    def stream(data: bytes) -> list[bytes]:
        """As `_upward`, for the answer."""
        try:
            piece = scrub.feed(data) if data else scrub.finish()
        except Exception as exc:  # noqa: BLE001 - an answer that cannot be scrubbed goes no further
            structlog.get_logger().error("scrub-failed", error=type(exc).__name__)
            raise BodyRefusedError(None) from None
        return [piece] if piece else []

    return stream
