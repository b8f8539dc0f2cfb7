"""An exchange goes with its flow, and at the latest with its client."""

from __future__ import annotations

from tests.unit.proxy.hooks.conftest import Wired


def test_hundreds_of_flows_leave_nothing(wired: Wired) -> None:
    """Aged: each flow's end takes its exchange, and the last one of a client takes the client's entry."""
    hooks = wired.hooks
    for number in range(500):
        flow = wired.exchange(f"/v1/{number}")
        assert len(hooks.exchanges) == 1
        hooks.requests.flow_ended(flow)
        hooks.requests.flow_ended(flow)
        hooks.connections.client_disconnected(flow.client_conn)
    assert len(hooks.exchanges) == 0
    assert hooks.exchanges._by_client == {}
    assert hooks.clients.sessions == {}


def test_a_client_takes_all_of_its_flows_with_it(wired: Wired) -> None:
    """Also those whose end nobody told."""
    flows = [wired.exchange() for _ in range(3)]
    for flow in flows[1:]:
        flow.client_conn = flows[0].client_conn
    assert len(wired.hooks.exchanges) == 3
    for flow in flows:
        wired.hooks.connections.client_disconnected(flow.client_conn)
    wired.hooks.exchanges.close_client("nobody")
    assert wired.hooks.exchanges.find(flows[0].client_conn.id, flows[0].id) is None


def test_a_client_that_has_gone_opens_none(wired: Wired) -> None:
    """A decision that took its time: no end of that flow would be told any more."""
    flow = wired.exchange()
    exchange = wired.hooks.exchanges.find(flow.client_conn.id, flow.id)
    assert exchange is not None
    wired.hooks.connections.client_disconnected(flow.client_conn)
    wired.hooks.exchanges.open(flow.id, exchange)
    assert len(wired.hooks.exchanges) == 0
