"""runtime.daemon.doorkeeper: who is let in at the port, and that a place is given back."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from runtime.daemon import doorkeeper as module
from runtime.daemon.doorkeeper import Doorkeeper, Listener
from runtime.daemon.library_log import MINUTE_S

PEER = "127.0.0.1"


@pytest.fixture
def listener() -> Iterator[Listener]:
    """One on loopback that lets everybody in."""
    with Listener(socket.AF_INET) as made:
        made.doorkeeper = Doorkeeper(lambda _address: False)
        made.bind((PEER, 0))
        made.listen()
        yield made


def dial(listener: Listener) -> socket.socket:
    """A connection to it."""
    return socket.create_connection(listener.getsockname())


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch):
    """For each peer and for all of them; who leaves makes room."""
    monkeypatch.setattr(module, "MAX_PER_PEER", 2)
    door = Doorkeeper(lambda _address: False, most=3)
    assert [door.enter("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [door.enter("192.0.2.2") for _ in range(2)] == [True, False]
    door.leave("::ffff:192.0.2.1")
    assert door.enter("::ffff:192.0.2.3")
    assert not door.enter("192.0.2.4")


def test_addresses_of_one_network_share_its_places(monkeypatch: pytest.MonkeyPatch):
    """Whoever has one address of IPv6 has 2^64 of them."""
    monkeypatch.setattr(module, "MAX_PER_PEER", 2)
    door = Doorkeeper(lambda _address: False)
    assert [door.enter(f"2001:db8::{n}") for n in range(3)] == [True, True, False]
    assert door.enter("2001:db8:0:1::1")


@pytest.mark.parametrize("peer", ["10.231.0.3", "::ffff:10.231.0.3"])
def test_an_address_in_another_form_is_the_same(peer: str):
    """A listener on IPv6 sees IPv4 peers as mapped addresses."""
    door = Doorkeeper(lambda address: str(address) == "10.231.0.3")
    assert not door.admits(peer)
    assert door.admits("fe80::1%eth0")


def test_refusals_are_not_told_without_end(monkeypatch: pytest.MonkeyPatch):
    """Sixty of them are, and the next one after a minute says how many were left out."""
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    now = 1000.0
    door = Doorkeeper(lambda _address: True)
    with capture_logs() as lines:
        assert not any(door.admits("10.231.0.3") for _ in range(70))
        assert len(lines) == 60
        now += MINUTE_S
        door.admits("10.231.0.3")
    assert (len(lines), lines[-1]["suppressed"]) == (61, 10)


def test_a_connection_has_its_place_until_its_socket_is_closed(listener: Listener):
    """Once, however often it is closed, and also where nobody closes it."""
    door = listener.doorkeeper
    with dial(listener), dial(listener):
        closed, _ = listener.accept()
        forgotten = [listener.accept()]
        assert (door._peers[PEER], forgotten[0][1][0]) == (2, PEER)
        closed.close()
        closed.close()
        assert door._peers[PEER] == 1
        with pytest.warns(ResourceWarning):
            forgotten.clear()
    assert not door._peers


@pytest.mark.parametrize("is_sandboxed", [True, False], ids=["a sandbox", "one too many"])
def test_who_is_not_taken_is_closed_at_once(listener: Listener, is_sandboxed: bool):
    """And has no place."""
    listener.doorkeeper = Doorkeeper(lambda _address: is_sandboxed, most=0)
    with dial(listener) as peer:
        with pytest.raises(ConnectionAbortedError):
            listener.accept()
        peer.settimeout(60)
        assert peer.recv(1) == b""
    assert not listener.doorkeeper._peers
