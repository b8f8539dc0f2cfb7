"""A resolver without threads: whom it asks, how often, and how long it keeps an answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from proxy.destination import stub
from proxy.destination.stub import MAX_KEPT, Resolver, hosts_of, resolver_of_this_host, servers_of


class NameServer(asyncio.DatagramProtocol):
    """Answers over UDP and TCP as its fields say, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.drops = 0
        self.ttl = 60
        self.is_cut_off = False
        self.code = dns.rcode.NOERROR
        self.codes: list[dns.rcode.Rcode] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        reply = self.reply(data)
        if self.drops:
            self.drops -= 1
            return
        if self.is_cut_off:
            reply.flags |= dns.flags.TC
            reply.answer.clear()
        self.transport.sendto(b"garbage", addr)
        self.transport.sendto(reply.to_wire(), addr)

    def reply(self, data: bytes) -> dns.message.Message:
        """One address."""
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text()
        self.asked.append(name)
        reply = dns.message.make_response(query)
        reply.set_rcode(self.codes.pop(0) if self.codes else self.code)
        if reply.rcode() == dns.rcode.NOERROR:
            reply.answer.append(dns.rrset.from_text(name, self.ttl, "IN", "A", "192.0.2.1"))
        return reply

    async def serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The same, whole."""
        wire = self.reply(await reader.readexactly(int.from_bytes(await reader.readexactly(2)))).to_wire()
        writer.write(len(wire).to_bytes(2) + wire)
        writer.close()


class Time:
    """A clock that stands still."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    """A name server."""
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    where = transport.get_extra_info("sockname")
    made.where = where
    streams = await asyncio.start_server(made.serve_stream, *where)
    yield made
    transport.close()
    streams.close()


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again soon."""
    monkeypatch.setattr(stub, "ASK_AGAIN_S", 0.2)


def resolver(server: NameServer, clock: Time | None = None) -> Resolver:
    """One that asks it."""
    return Resolver([server.where], {"here.test": ["192.0.2.7"]}, clock or Time())


async def test_an_answer_is_kept_for_its_time_and_half_a_minute_at_most(server: NameServer) -> None:
    """An answer of 60 s is asked for again after 30, one of 5 s after 5, one of none each time."""
    clock = Time()
    ask = resolver(server, clock)
    for now, ttl, asked in [(0, 60, 1), (29, 60, 1), (30, 5, 2), (34, 5, 2), (35, 0, 3), (35, 0, 4)]:
        clock.now, server.ttl = now, ttl
        assert await ask("ok.test") == ["192.0.2.1"]
        assert len(server.asked) == asked


async def test_answers_that_are_kept_have_an_end(server: NameServer) -> None:
    """The oldest gives way."""
    ask = resolver(server)
    for number in range(MAX_KEPT + 1):
        await ask(f"n{number}.test")
    before = Counter(server.asked)  # on a slow machine a name is asked for more than once
    await ask("n1.test")
    await ask("n0.test")
    assert server.asked.count("n1.test.") == before["n1.test."]
    assert server.asked.count("n0.test.") > before["n0.test."]


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize("drops", [1, 4])
async def test_what_is_dropped_is_asked_for_again(server: NameServer, drops: int) -> None:
    """Resolvers drop bursts."""
    server.drops = drops
    assert await resolver(server)("ok.test") == ["192.0.2.1"]
    assert len(server.asked) >= drops + 1


@pytest.mark.usefixtures("_soon")
async def test_silence_ends(server: NameServer) -> None:
    """After so many asks, and nothing is kept of it."""
    server.drops = 99
    with pytest.raises(OSError, match="no answer"):
        await resolver(server)("ok.test")
    assert len(server.asked) == stub.MAX_ASKS


async def test_no_such_name_is_said_at_once_and_not_kept(server: NameServer) -> None:
    """A failing server is asked again, and heard when it has recovered."""
    ask = resolver(server)
    server.codes = [dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL, dns.rcode.SERVFAIL]
    with pytest.raises(OSError, match="no such name"):
        await ask("ok.test")
    assert await ask("ok.test") == ["192.0.2.1"]
    assert len(server.asked) == 4


async def test_a_long_answer_comes_by_tcp(server: NameServer) -> None:
    """And is as good."""
    server.is_cut_off = True
    assert await resolver(server)("ok.test") == ["192.0.2.1"]


@pytest.mark.usefixtures("_soon")
async def test_a_second_server_is_asked_where_the_first_is_silent(server: NameServer) -> None:
    """The first is nobody."""
    ask = Resolver([("127.0.0.1", 9), server.where], {}, Time())
    assert await ask("ok.test") == ["192.0.2.1"]


async def test_a_name_of_the_hosts_file_is_not_asked_for(server: NameServer) -> None:
    """As the system's resolver has it."""
    assert await resolver(server)("here.test") == ["192.0.2.7"]
    assert server.asked == []


def test_the_files_are_read_as_the_system_reads_them() -> None:
    """IPv4 only: the egress network has nothing else."""
    text = "# nameserver 192.0.2.9\nsearch x\nnameserver 192.0.2.1\nnameserver ::1\n nameserver 192.0.2.2 x\n"
    assert servers_of(text) == [("192.0.2.1", 53), ("192.0.2.2", 53)]
    assert servers_of("") == [("127.0.0.1", 53)]
    assert hosts_of("192.0.2.1 a.test B.test # c.test\n::1 a.test\n192.0.2.2 a.test\n\nx y\n") == {
        "a.test": ["192.0.2.1", "192.0.2.2"],
        "b.test": ["192.0.2.1"],
    }
    assert isinstance(resolver_of_this_host(Time()), Resolver)
