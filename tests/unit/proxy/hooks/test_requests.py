"""The request hooks that no client can reach in a given order: failures, ends."""

from __future__ import annotations

from mitmproxy.proxy.context import Context
from mitmproxy.test import taddons, tflow

from proxy.layers.failures import FailedRequest
from tests.unit.proxy.hooks.conftest import DB, Wired


def test_a_failed_upstream_is_told_and_its_exchange_goes_with_the_flow(wired: Wired) -> None:
    """`request_failed` words the answer; the end of the flow is told behind it."""
    flow = wired.exchange()
    with taddons.context() as context:
        data = FailedRequest(Context(flow.client_conn, context.options), 502, "to 10.0.0.1: refused", flow)
        wired.hooks.requests.request_failed(data)
    assert data.response is not None
    assert data.response.status_code == 502
    assert b"10.0.0.1" not in data.response.content
    wired.hooks.requests.flow_ended(flow)
    assert len(wired.hooks.exchanges) == 0


async def test_a_secret_in_a_tunnels_name_is_refused(wired: Wired) -> None:
    """Before it is looked up, and told with a mask."""
    flow = tflow.tflow()
    wired.session(flow.client_conn.id)
    host = f"{DB}.wild.test"
    flow.request.method, flow.request.host, flow.request.port = "CONNECT", host, 443
    flow.request.headers["host"] = f"{host}:443"
    await wired.hooks.requests.http_connect(flow)
    assert wired.lookups == []
    assert flow.response is not None
    assert flow.response.status_code == 403
    assert DB.encode() not in flow.response.content
