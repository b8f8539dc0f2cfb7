"""The router as an ASGI app, for an owner-only socket that nobody but the proxy opens.

The proxy names the run in `x-orchbox-sandbox`, and takes that header and every credential from what a
sandbox sends. A run without a session is refused.
"""

from __future__ import annotations

import time

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path
from starlette.types import Receive, Scope, Send

from proxy.contract.messages import OWN_HEADERS, SANDBOX_HEADER
from runtime.ascii_json import AsciiJson
from runtime.errors import frames_of
from runtime.llm import router
from runtime.llm.plan.chain import DEFAULT
from runtime.llm.session import LlmSession, LlmSessions
from runtime.llm.shapes.errors import RouterError
from runtime.llm.shapes.openai import LlmRequest, Shape, read_request
from runtime.llm.sse import EventStream
from runtime.llm.until_gone import until_gone
from runtime.model.sandbox_id import run_id_of

MODEL_HEADER = OWN_HEADERS + "model"
"""On an answer: which entry of the chain gave it."""
MAX_BODY_BYTES = 16 << 20
MAX_RUN_BYTES = 64 << 20
"""Of one run's requests at one time."""


def make_llm_app(sessions: LlmSessions) -> Starlette:
    """The app; serve it on `llm.sock`."""
    endpoint = _Endpoint(sessions)
    routes = [
        Path("/v1/chat/completions", endpoint.chat, methods=["POST"]),
        Path("/v1/responses", endpoint.responses, methods=["POST"]),
        Path("/v1/models", endpoint.models, methods=["GET"]),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _on_http})


class _Endpoint:
    def __init__(self, sessions: LlmSessions) -> None:
        self._sessions = sessions

    async def models(self, request: Request) -> Response:
        try:
            session = self._session(request)
        except RouterError as exc:
            return _refusal(exc)
        created = int(time.time())
        names = [(DEFAULT, "orchbox")] if session.chain else []
        names += [(str(route), route.provider) for route in session.chain]
        listed = [{"id": i, "object": "model", "created": created, "owned_by": by} for i, by in names]
        return JSONResponse({"object": "list", "data": listed})

    async def chat(self, request: Request) -> Response:
        return await self._call("chat", request)

    async def responses(self, request: Request) -> Response:
        return await self._call("responses", request)

    async def _call(self, shape: Shape, request: Request) -> Response:
        try:
            session = self._session(request)
            asked = read_request(shape, body := await _body(request, session))
        except RouterError as exc:
            return _refusal(exc)
        session.body_bytes += len(body)  # until it is answered
        return _Exchange(session, asked)

    def _session(self, request: Request) -> LlmSession:
        named = request.headers.getlist(SANDBOX_HEADER)
        session = self._sessions.get(run_id_of(named[0])) if len(named) == 1 else None
        if session is None:
            raise RouterError(403, "no_session", "this sandbox may not ask for models", is_final=True)
        return session


async def _body(request: Request, session: LlmSession) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            session.body_bytes += len(chunk)
            if len(body) > MAX_BODY_BYTES:
                raise RouterError(413, "request_too_large", "the body is larger than 16 MiB", is_final=True)
            if session.body_bytes > MAX_RUN_BYTES:
                raise RouterError(429, "too_much_at_once", "this run's requests at one time exceed 64 MiB")
        return bytes(body)
    finally:
        session.body_bytes -= len(body)


class _Exchange(Response):
    """Asks and answers, as long as the client is there and the run lasts."""

    def __init__(self, session: LlmSession, request: LlmRequest) -> None:
        super().__init__()
        self._session = session
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def noted(message: object) -> None:
            nonlocal has_started
            has_started = True
            await send(message)  # type: ignore[arg-type]

        async def work() -> None:
            response = await self._respond()
            await response(scope, receive, noted)

        try:
            outcome = await until_gone(work(), receive, self._session.track)
        finally:
            self._session.body_bytes -= self._request.size_bytes
        if outcome.is_cut and not has_started:
            over = RouterError(403, "no_session", "the run is over", is_final=True)
            await _refusal(over)(scope, receive, send)
        if outcome.error is not None:
            _log_failure(outcome.error)
            if not has_started:
                await _refusal(RouterError(500, "internal_error", "the router failed"))(scope, receive, send)

    async def _respond(self) -> Response:
        try:
            route, content = await router.answer(self._session, self._request)
        except RouterError as exc:
            return _refusal(exc, self._session)
        headers = {MODEL_HEADER: str(route)}
        if isinstance(content, dict):
            try:
                return AsciiJson(content, headers=headers)
            except ValueError:  # NaN, which Python reads as a number
                return _refusal(RouterError(502, "invalid_answer", f"{route} answered what is no JSON"))
        return EventStream(content, self._request, self._session.redact, headers)


def _refusal(error: RouterError, session: LlmSession | None = None) -> Response:
    body = error.body()
    if session is not None:
        body["error"]["message"] = session.redact(body["error"]["message"])
    return AsciiJson(body, status_code=error.status, headers=error.headers())


def _on_http(_request: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    served = "/v1/chat/completions, /v1/responses and /v1/models"
    return _refusal(RouterError(status, "unknown_url", f"served here are {served}", is_final=True))


def _log_failure(error: BaseException) -> None:
    """A bug, without the exception's text, which may quote a request."""
    if isinstance(error, ClientDisconnect):
        return
    structlog.get_logger().error("llm-request-failed", error=type(error).__name__, where=frames_of(error))
