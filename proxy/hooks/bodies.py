"""What streams by behind a head: bodies both ways, WebSocket messages, control frames.

Whatever fails here refuses: mitmproxy only logs what its callables raise, so each turns every exception
into an end of the exchange.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from mitmproxy import http
from mitmproxy.websocket import WebSocketMessage

from proxy.destination.judge import Judged
from proxy.hooks.clients import Clients
from proxy.hooks.exchange import Exchange
from proxy.hooks.fail_closed import to_response
from proxy.hooks.recorder import Recorder
from proxy.layers.refuse import BodyRefusedError
from proxy.policy.model import Decision
from proxy.policy.problems import problem_for
from proxy.policy.refusal import INTERNAL_ERROR
from proxy.secrets.body_scan import BodyScan
from proxy.secrets.outgoing import body_refusal
from proxy.secrets.scrub import StreamScrub


class Bodies:
    """Searches what a sandbox sends and scrubs what it gets."""

    def __init__(self, clients: Clients, recorder: Recorder) -> None:
        self._clients = clients
        self._recorder = recorder

    def upward(self, exchange: Exchange, method: str, scan: BodyScan) -> Callable[[bytes], list[bytes]]:
        """The callable that a request's body passes through."""

        def stream(data: bytes) -> list[bytes]:
            """Mitmproxy calls this with each piece of the body, and with nothing at its end."""
            try:
                piece = scan.feed(data) if data else scan.finish()
            except Exception as exc:  # noqa: BLE001 - a body that cannot be judged goes no further
                decision = _decision_on(exc, exchange.judged)
                raise BodyRefusedError(self._refuse(exchange, method, decision)) from None
            return [piece] if piece else []

        return stream

    def check_message(self, exchange: Exchange, message: WebSocketMessage) -> None:
        """A WebSocket's messages: the sandbox's are searched, the upstream's scrubbed."""
        try:
            if message.from_client:
                exchange.upward.check(message.content)
            else:
                message.content = exchange.reflection.clean(message.content)
        except Exception as exc:  # noqa: BLE001 - killing the flow would not stop the message
            message.drop()
            self._cut_websocket(exchange, exc)

    def is_clean_control(self, exchange: Exchange, payload: bytes) -> bool:
        """Whether a control frame's payload may go upstream; where not, the connection is cut."""
        try:
            exchange.control.check(payload)
        except Exception as exc:  # noqa: BLE001 - mitmproxy would only log it
            self._cut_websocket(exchange, exc)
            return False
        return True

    def refuse_websocket(self, exchange: Exchange, decision: Decision) -> None:
        """Record why a WebSocket is being closed."""
        self._refuse(exchange, "WEBSOCKET", decision)

    def _cut_websocket(self, exchange: Exchange, exc: Exception) -> None:
        self.refuse_websocket(exchange, _decision_on(exc, exchange.judged))
        self._clients.sockets.abort(exchange.client_id)

    def _refuse(self, exchange: Exchange, method: str, decision: Decision) -> http.Response:
        grant, judged = exchange.grant, exchange.judged._replace(decision=decision)
        request_id = self._recorder.record(
            grant, exchange.session.origin, judged, method=method, path=exchange.path
        )
        problem = problem_for(
            decision,
            host=judged.host,
            port=judged.port,
            policy_name=grant.policy.name,
            request_id=request_id,
        )
        return to_response(problem)


def downward(scrub: StreamScrub) -> Callable[[bytes], list[bytes]]:
    """The callable that an answer's body passes through."""

    def stream(data: bytes) -> list[bytes]:
        """As `Bodies.upward`, for the answer."""
        try:
            piece = scrub.feed(data) if data else scrub.finish()
        except Exception as exc:  # noqa: BLE001 - an answer that cannot be scrubbed goes no further
            structlog.get_logger().error("scrub-failed", error=type(exc).__name__)
            raise BodyRefusedError(None) from None
        return [piece] if piece else []

    return stream


def _decision_on(exc: Exception, judged: Judged) -> Decision:
    decision = body_refusal(exc, host=judged.host, rule_id=judged.decision.rule_id)
    if decision is INTERNAL_ERROR:
        structlog.get_logger().error("body-scan-failed", error=type(exc).__name__)
    return decision
