"""The hooks by which a layer reports what no ordinary hook sees: malformed heads, failed upstreams, ends."""

from __future__ import annotations

from dataclasses import dataclass

from mitmproxy import http
from mitmproxy.proxy.commands import StartHook
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._events import ErrorCode, ResponseProtocolError

from proxy.destination.heads import HeadDefect


@dataclass
class FailedRequest:
    """A request that cannot be answered by a hook's response: the addon fills in `response`."""

    context: Context
    status: int
    message: str
    """Ours where there is a defect, else mitmproxy's: not to be shown."""
    flow: http.HTTPFlow | None = None
    defect: HeadDefect | None = None
    response: http.Response | None = None
    is_over_budget: bool = False
    """Set by the addon where it was one request too many."""


@dataclass
class RequestFailedHook(StartHook):
    """The head could not be parsed, or the upstream failed before a response began."""

    data: FailedRequest


@dataclass
class FlowEndedHook(StartHook):
    """Nothing more of this flow goes either way, whatever ended it: told once, behind every other hook.

    mitmproxy 12.2 has no such hook: `response` comes before the trailers and before a WebSocket, `error` is
    not sent for a flow that was killed in `response` nor for one that our own layer cut off.
    """

    flow: http.HTTPFlow


class RefusedAnswerError(ResponseProtocolError):
    """An upstream's answer that we do not read on."""

    def __init__(self, stream_id: int, defect: HeadDefect) -> None:
        super().__init__(stream_id, defect.detail, ErrorCode.GENERIC_SERVER_ERROR)
        self.defect = defect


def failure(context: Context, defect: HeadDefect) -> FailedRequest:
    """The report of a defect that we found."""
    return FailedRequest(context, defect.status, defect.detail, defect=defect)
