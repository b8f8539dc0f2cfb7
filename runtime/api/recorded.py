"""Every call of the API is on record: what changes something before it is done, and how each one ended.

api.call     before anything is done; what cannot be written is not done (not for GET and HEAD)
api.answer   how a call ended, with what the route adds (`record`); of many looks of one caller a part
api.refused  a caller that nobody vouched for; when many come, one line stands for many
"""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from runtime.access.caller import UnixPeer
from runtime.access.scopes import Caller
from runtime.api.problems import told
from runtime.audit.port import AuditPort
from runtime.audit.sparse_notes import SparseNotes
from runtime.errors import OrchError

MAX_PATH_CHARS = 300
SAFE = frozenset({"GET", "HEAD"})
"""Methods that change nothing."""
_PROBES = frozenset({"/readyz", "/metrics"})
"""Asked for without end: that it is ready, or not yet, is in nobody's record."""
_PROBED = frozenset({200, 503})
_TOKEN = re.compile(r"orch_[0-9a-f]{8,}", re.ASCII | re.IGNORECASE)
_DETAILS = "recorded"


def record(request: Request, **details: str | float | None) -> None:
    """What stands in the line of this call's answer beside its path: ids, names and times, never a value."""
    request.scope["state"].setdefault(_DETAILS, {}).update(details)


class Recorded:
    """Behind the gate: writes down each call of a caller that was let in."""

    def __init__(self, app: ASGIApp, audit: AuditPort) -> None:
        self._app = app
        self._audit = audit
        self._looks = SparseNotes(audit, "api.answer")

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Write, pass on, write."""
        caller = scope.get("state", {}).get("caller")
        if scope["type"] != "http" or caller is None:  # what is open to all says nothing
            await self._app(scope, receive, send)
            return
        said = _said(scope, caller)
        if scope["method"] not in SAFE:
            try:
                await self._audit.add("api.call", who=caller.name, data=said)
            except OrchError as exc:
                await told(exc, request_id=scope["state"]["request_id"])(scope, receive, send)
                return
        status: int | None = None

        def note() -> None:
            data = {**said, **scope["state"].get(_DETAILS, {}), "status": status}
            self._note(scope, caller.name, data)

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                note()
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except ClientDisconnect:
            raise
        except Exception:
            status = status or 500
            raise
        finally:
            if status in {None, 500}:  # nothing was answered: the caller left, or it is answered further out
                note()

    def _note(self, scope: AsgiScope, who: str, data: dict[str, Any]) -> None:
        if scope["method"] not in SAFE:
            self._audit.note("api.answer", who=who, data=data)
        elif scope["path"] not in _PROBES or data["status"] not in _PROBED:
            self._looks.note(who, data)


class Refusals:
    """Those that the gate refuses."""

    def __init__(self, audit: AuditPort) -> None:
        self._notes = SparseNotes(audit, "api.refused")

    def note(self, scope: AsgiScope, exc: OrchError) -> None:
        """Write one down, or count it."""
        self._notes.note("unknown", {**_said(scope, None), "status": exc.status})


def _said(scope: AsgiScope, caller: Caller | None) -> dict[str, Any]:
    """A request in a line, without its query, headers and body, and without what looks like a token."""
    path = _TOKEN.sub("orch_***", scope["path"][:MAX_PATH_CHARS])
    peer = scope["client"][0] if scope.get("client") else None
    return {
        "request": scope["state"]["request_id"],
        "method": _TOKEN.sub("orch_***", scope["method"][:MAX_PATH_CHARS]),
        "path": path,
        **({} if peer is None or isinstance(peer, UnixPeer) else {"peer": peer}),
        **({} if caller is None or caller.workspace is None else {"workspace": caller.workspace}),
    }
