"""Lookups under way: shared, bounded, and no sandbox waits for those that never end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import dns.message
import dns.rrset
import pytest

from proxy.destination import lookups, stub
from proxy.destination.lookups import SharedLookups
from tests.wire.conftest import Rig
from tests.wire.origin import UPSTREAM
from tests.wire.raw import refusals


class NameServer(asyncio.DatagramProtocol):
    """Answers with the upstream's address, but for names that begin with `silent`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.drops = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text()
        self.asked.append(name)
        self.drops -= 1
        if name.startswith("silent") or self.drops >= 0:
            return
        reply = dns.message.make_response(query)
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", UPSTREAM))
        self.transport.sendto(reply.to_wire(), addr)


@pytest.fixture
async def name_server(rig: Rig) -> AsyncIterator[NameServer]:
    """The proxy asks this one, as it asks its container's."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    resolver = stub.Resolver([transport.get_extra_info("sockname")], {}, loop.time)
    rig.server.hooks.dials._lookup = SharedLookups(resolver)
    yield server
    transport.close()


def ask_for(rig: Rig, name: str) -> asyncio.Task[bytes]:
    """A request to a name under *.wild.test."""
    port = rig.upstream.plain_port
    raw = f"GET http://{name}.wild.test:{port}/ HTTP/1.1\r\nHost: {name}.wild.test:{port}\r\n\r\n"
    return asyncio.create_task(rig.raw(raw.encode()))


async def test_names_that_never_answer_hold_up_nobody(rig: Rig, name_server: NameServer):
    """A6: a sandbox waits for 100 names; its other lookups are made meanwhile, and no thread is."""
    threads = threading.active_count()
    silent = [ask_for(rig, f"silent{number}") for number in range(100)]
    while len(name_server.asked) < 100:
        await asyncio.sleep(0.01)
    for number in range(5):
        assert b" 200 OK" in await ask_for(rig, f"good{number}")
    assert not any(task.done() for task in silent)
    assert threading.active_count() == threads
    for task in silent:
        task.cancel()
    await asyncio.gather(*silent, return_exceptions=True)


async def test_many_requests_to_one_name_are_one_lookup(rig: Rig, name_server: NameServer):
    """D27: a burst to one name is one question, asked again where it is dropped, and not once a request."""
    name_server.drops = 1
    got = await asyncio.gather(*(ask_for(rig, "good") for _ in range(60)))
    got.append(await ask_for(rig, "good"))
    assert all(b" 200 OK" in answer for answer in got)
    assert name_server.asked == ["good.wild.test."] * 2


async def test_lookups_under_way_are_bounded(
    rig: Rig, name_server: NameServer, monkeypatch: pytest.MonkeyPatch
):
    """A6: one more than the bound is told at once, and the audit has its line."""
    monkeypatch.setattr(lookups, "MAX_LOOKUPS", 3)
    silent = [ask_for(rig, f"silent{number}") for number in range(3)]
    while len(name_server.asked) < 3:
        await asyncio.sleep(0.01)
    assert b'"budget_requests"' in await ask_for(rig, "good")
    assert refusals(rig) == ["budget_requests"]
    for task in silent:
        task.cancel()
    await asyncio.gather(*silent, return_exceptions=True)
