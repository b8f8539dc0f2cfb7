"""DNS by datagrams: answered by the hooks or not at all, and nothing is kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mitmproxy import dns
from mitmproxy.net.dns import response_codes

import proxy.hooks.datagrams
from proxy.hooks.datagrams import MAX_UNSENT_BYTES, Datagrams
from tests.unit.proxy.hooks.conftest import Wired

QUESTION = bytes.fromhex("abcd01000001000000000000") + b"\x01a\x04wild\x04test\x00\x00\x01\x00\x01"
NEAR = ("127.0.0.1", 40_000)


class Socket(asyncio.DatagramTransport):
    """A socket that keeps what is sent."""

    def __init__(self, address: str) -> None:
        super().__init__({"sockname": (address, 53)})
        self.sent: list[tuple[bytes, Any]] = []
        self.unsent = 0

    def sendto(self, data: bytes, addr: Any = None) -> None:
        self.sent.append((data, addr))

    def get_write_buffer_size(self) -> int:
        return self.unsent


def sink(wired: Wired, address: str = "127.0.0.1") -> tuple[Datagrams, Socket]:
    """The sink on an address of the proxy's."""
    made, socket = (
        Datagrams(wired.hooks.connections, wired.hooks.dns, mode=f"names@{address}:53"),
        Socket(address),
    )
    made.connection_made(socket)
    return made, socket


def test_a_question_is_answered_to_where_it_came_from(wired: Wired) -> None:
    """With its own number; and nobody is a client any more."""
    made, socket = sink(wired)
    made.datagram_received(QUESTION, NEAR)

    [(data, addr)] = socket.sent
    answer = dns.DNSMessage.unpack(data)
    assert (answer.id, answer.response_code, addr) == (0xABCD, response_codes.NOERROR, NEAR)
    assert wired.hooks.clients.sessions == {}
    assert wired.hooks.clients.meters.of("run-1").name_peers == 0


@pytest.mark.parametrize("data", [b"", b"x", QUESTION[:-1], QUESTION[:12], b"\xff" * 512])
def test_what_is_no_question_gets_no_address(wired: Wired, data: bytes) -> None:
    """It is dropped, or answered as malformed; the next question is answered."""
    made, socket = sink(wired)
    made.datagram_received(data, NEAR)
    assert [d for d, _ in socket.sent if dns.DNSMessage.unpack(d).answers] == []

    made.datagram_received(QUESTION, NEAR)
    assert dns.DNSMessage.unpack(socket.sent[-1][0]).answers


@pytest.mark.parametrize(("address", "peer"), [("127.0.0.9", NEAR), ("127.0.0.1", ("10.0.0.3", 40_000))])
def test_without_a_grant_for_the_network_and_the_peer_nothing_is_said(
    wired: Wired, address: str, peer: tuple[str, int]
) -> None:
    """Identity is the network that a datagram came in on, and the one peer on it."""
    made, socket = sink(wired, address)
    made.datagram_received(QUESTION, peer)

    assert socket.sent == []
    assert [line["reason_code"] for line in wired.lines] == ["no_grant"]


def test_whatever_fails_is_silence(wired: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception outside the hooks ends nothing, and answers nothing."""
    made, socket = sink(wired)
    with monkeypatch.context() as broken:
        broken.setattr(proxy.hooks.datagrams.dns.DNSMessage, "unpack", lambda *_a, **_k: 1 / 0)
        made.datagram_received(QUESTION, NEAR)
    assert socket.sent == []
    assert wired.hooks.clients.sessions == {}

    made.datagram_received(QUESTION, NEAR)
    assert len(socket.sent) == 1


def test_answers_that_nobody_takes_are_dropped(wired: Wired) -> None:
    """They do not pile up in memory."""
    made, socket = sink(wired)
    socket.unsent = MAX_UNSENT_BYTES
    made.datagram_received(QUESTION, NEAR)
    assert socket.sent == []
