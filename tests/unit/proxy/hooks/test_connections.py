"""The hooks on connections, over mitmproxy's own objects."""

from __future__ import annotations

from typing import Any

import pytest
from mitmproxy.connection import Server
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.test import tflow

from proxy.admission.session import Entry
from tests.unit.proxy.hooks.conftest import GRANT, Wired

NAME = ("a.wild.test", 443)


@pytest.fixture
def client() -> Any:
    """A connection that came in on the explicit port."""
    made = tflow.tclient_conn()
    made.sockname, made.peername = ("127.0.0.1", 8080), ("127.0.0.1", 40000)
    return made


async def test_hundreds_of_connections_and_dials_leave_nothing(wired: Wired, client: Any) -> None:
    """Aged: dials that come through, fail, or are cut off in their midst."""
    hooks = wired.hooks
    for number in range(300):
        hooks.connections.client_connected(client)
        session = hooks.clients.sessions[client.id]
        assert await hooks.dials.vet(session, GRANT, *NAME) is None
        data = ServerConnectionHookData(Server(address=NAME), client)
        hooks.connections.server_connect(data)
        assert data.server.address == ("8.8.8.8", 443)
        assert len(session.dials) == 1
        if number % 3 == 0:
            data.server.peername = ("8.8.8.8", 443)
            hooks.connections.server_connected(data)
            assert data.server.address == NAME
            assert session.dials == {}
        elif number % 3 == 1:
            hooks.connections.server_connect_error(data)
            assert session.dials == {}
        hooks.connections.client_disconnected(client)
    assert hooks.clients.sessions == {}
    assert hooks.clients.meters.of("run-1").connections == 0
    assert [what for what, _ in wired.done] == ["meter", "close"] * 300


async def test_nothing_of_ours_is_left_in_a_server_connection(wired: Wired, client: Any) -> None:
    """Which dial is for which name is in the session."""
    wired.hooks.connections.client_connected(client)
    await wired.hooks.dials.vet(wired.session(client.id), GRANT, *NAME)
    data = ServerConnectionHookData(Server(address=NAME), client)
    before = set(data.server.__dict__)
    wired.hooks.connections.server_connect(data)
    assert set(data.server.__dict__) - before == set()


@pytest.mark.parametrize("change", ["unchecked", "no address", "by another proxy"])
async def test_what_was_not_checked_is_not_dialled(wired: Wired, client: Any, change: str) -> None:
    """An error on the server connection is how mitmproxy is told."""
    wired.hooks.connections.client_connected(client)
    if change != "unchecked":
        await wired.hooks.dials.vet(wired.session(client.id), GRANT, *NAME)
    server = Server(address=None if change == "no address" else NAME)
    if change == "by another proxy":
        server.via = ("http", ("192.0.2.1", 8080))
    wired.hooks.connections.server_connect(ServerConnectionHookData(server, client))
    assert server.error == "destination was not checked"
    assert wired.session(client.id).dials == {}


async def test_another_peer_cuts_the_client(wired: Wired, client: Any) -> None:
    """mitmproxy has no way to refuse a dial that has been made."""
    wired.hooks.connections.client_connected(client)
    await wired.hooks.dials.vet(wired.session(client.id), GRANT, *NAME)
    data = ServerConnectionHookData(Server(address=NAME), client)
    wired.hooks.connections.server_connect(data)
    data.server.peername = ("192.0.2.1", 443)
    wired.hooks.connections.server_connected(data)
    assert ("abort", client.id) in wired.done
    assert wired.lines[-1]["reason_code"] == "dns_rebind"


def test_a_port_that_is_no_entry_is_refused(wired: Wired, client: Any) -> None:
    """The hook fails, and failing closes."""
    client.sockname = ("127.0.0.1", 9)
    wired.hooks.connections.client_connected(client)
    assert client.error
    assert wired.hooks.clients.sessions == {}
    assert Entry.EXPLICIT in wired.hooks.connections.ports.values()
