"""What of the handover no HTTP/1 upstream can show: trailers, late answers, what is shown of an exchange."""

from __future__ import annotations

import pytest
from mitmproxy.http import Headers
from mitmproxy.test import tflow

from proxy.hooks.known import MAX_UPLOADS
from proxy.layers.websocket import ControlFrames
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import deny
from tests.unit.proxy.hooks.conftest import DB, GRANT, JUDGED, STAND_IN, TRUE, Wired


def test_trailers_are_scrubbed(wired: Wired) -> None:
    """HTTP/2 brings headers behind the body too."""
    flow = wired.exchange()
    flow.response.trailers = Headers([(b"x-echo", f"Bearer {TRUE}".encode()), (TRUE.encode(), b"x")])
    wired.hooks.requests.response(flow)
    assert flow.response.trailers.fields == (
        (b"x-echo", f"Bearer {STAND_IN}".encode()),
        (STAND_IN.encode(), b"x"),
    )


def test_uploads_are_remembered_up_to_a_bound(wired: Wired) -> None:
    """The oldest is forgotten: a sandbox cannot fill the memory."""
    for number in range(MAX_UPLOADS + 10):
        flow = wired.exchange()
        flow.response.headers["x-goog-upload-url"] = f"https://llm.test/upload?upload_id=u{number}"
        wired.hooks.requests.responseheaders(flow)
    assert list(wired.hooks.uploads.of("run-1")) == [f"u{n}" for n in range(10, MAX_UPLOADS + 10)]


def test_nothing_of_an_exchange_is_in_its_text_form(wired: Wired) -> None:
    """What is kept of a flow, and in the parts, shows neither value nor placeholder."""
    flow = wired.exchange()
    hooks = wired.hooks
    exchange = hooks.exchanges.find(flow.client_conn.id, flow.id)
    parts = (hooks.clients, hooks.recorder, hooks.known, hooks.exchanges, hooks.handover, hooks.requests)
    shown = f"{exchange!r} {flow.metadata!r} {[vars(part) for part in parts]!r}"
    assert exchange is not None
    assert TRUE not in shown
    assert STAND_IN not in shown


def test_nothing_of_ours_is_kept_in_mitmproxys_flow(wired: Wired) -> None:
    """The exchange is found by the flow's id."""
    assert wired.exchange().metadata == {}


def test_an_answer_to_what_was_never_handed_over_is_no_answer(wired: Wired) -> None:
    """Without its exchange an upstream's answer cannot be scrubbed: it is cut off, and that is on record."""
    flow = tflow.tflow(resp=True)
    wired.session(flow.client_conn.id)
    wired.hooks.requests.responseheaders(flow)
    assert flow.response is None
    assert flow.error is not None
    assert [line["reason_code"] for line in wired.lines] == ["internal_error"]


def test_an_answer_of_our_own_needs_no_exchange(wired: Wired) -> None:
    """A refusal goes to the client as it is."""
    flow = tflow.tflow(resp=True)
    wired.session(flow.client_conn.id)
    flow.server_conn.peername = None
    wired.hooks.requests.responseheaders(flow)
    assert flow.response is not None
    assert flow.error is None


def test_an_answer_for_a_client_that_has_gone_is_cut_off_quietly(wired: Wired) -> None:
    """Its exchange went with it, and nobody is left to be told."""
    flow = wired.exchange()
    wired.hooks.connections.client_disconnected(flow.client_conn)
    wired.hooks.requests.responseheaders(flow)
    assert flow.error is not None
    assert wired.lines == []


@pytest.mark.parametrize("from_client", [True, False])
def test_a_message_without_an_exchange_is_dropped(wired: Wired, *, from_client: bool) -> None:
    """What cannot be searched does not pass."""
    flow = tflow.twebsocketflow()
    wired.session(flow.client_conn.id)
    message = next(m for m in flow.websocket.messages if m.from_client is from_client)
    flow.websocket.messages = [message]
    wired.hooks.requests.websocket_message(flow)
    assert message.dropped


def test_control_frames_of_a_websocket_without_an_exchange_carry_nothing(wired: Wired) -> None:
    """Neither way."""
    frames = ControlFrames(tflow.twebsocketflow())
    wired.hooks.requests.websocket_opening(frames)
    assert not frames.check(b"x")
    assert frames.scrub(b"x") == b""


def test_control_frames_are_searched_and_scrubbed(wired: Wired) -> None:
    """A clean payload passes, one with a value cuts the connection."""
    flow = wired.exchange()
    frames = ControlFrames(flow)
    wired.hooks.requests.websocket_opening(frames)
    assert frames.check(b"hello")
    assert frames.scrub(TRUE.encode()) == STAND_IN.encode()
    assert not frames.check(DB.encode())
    assert wired.done == [("abort", flow.client_conn.id)]
    frames.refuse(deny(ReasonCode.BAD_ANSWER, "x"))
    assert wired.lines[-1]["reason_code"] == "bad_answer"


def test_a_refused_handover_opens_no_exchange(wired: Wired) -> None:
    """A secret in the head: nothing is let out, and nothing is kept."""
    flow = tflow.tflow()
    flow.request.scheme, flow.request.path = "https", f"/{DB}"
    refusal = wired.hooks.handover.hand_over(flow, GRANT, wired.session(flow.client_conn.id), JUDGED)
    assert refusal is not None
    assert refusal.reason_code == "secret_leak"
    assert len(wired.hooks.exchanges) == 0
