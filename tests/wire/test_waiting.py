"""Whoever sends faster than the other side takes waits: nothing piles up in the proxy's memory (P-34)."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import replace

import h2.events
import pytest

from tests.wire.budgets import meter
from tests.wire.conftest import Rig
from tests.wire.h2_client import H2
from tests.wire.origin import close_all
from tests.wire.raw import open_tunnel
from tests.wire.test_http2 import head
from tests.wire.test_refusals import client
from tests.wire.test_tls_corpus import client_hello, names


async def _push(rig: Rig, writer: asyncio.StreamWriter) -> int:
    """Send up to 40 MB, until no more is taken; the bytes that the proxy took in."""

    async def send_all() -> None:
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                writer.write(b"x" * 1_000_000)
                await writer.drain()

    sending, taken, idle = asyncio.create_task(send_all()), -1, 0
    while idle < 20 and not sending.done():
        await rig.settled()
        idle = idle + 1 if meter(rig).bytes_out == taken else 0
        taken = meter(rig).bytes_out
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    return meter(rig).bytes_out


@pytest.mark.parametrize("host", ["ok.test", "pass.test"], ids=["inspected", "passed through"])
async def test_upload_waits_for_its_upstream(rig: Rig, host: str):
    """P-34: while an upstream is slow to shake hands, the client waits, not the proxy's memory."""
    accepted: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _r, w: accepted.append(w), "127.0.0.2", 0, limit=1 << 16)
    port = server.sockets[0].getsockname()[1]
    policy = rig.policy()
    rules = tuple(replace(rule, ports=rule.ports | {port}) for rule in policy.allow)
    await rig.link.grant(rig.grant(revision=2, policy=replace(policy, allow=rules)))
    reader, writer = await open_tunnel(rig, f"{host}:{port}")
    if host == "ok.test":
        context = ssl.create_default_context(cadata=rig.link.ca_pem)
        await asyncio.wait_for(writer.start_tls(context, server_hostname=host), 30)
        head = f"POST / HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 100000000\r\n\r\n"
        writer.write(head.encode())
    else:
        writer.write(client_hello(names((0, host.encode()))))

    taken = await _push(rig, writer)

    # A passed-through upstream that accepts has its kernel's buffers, of which mitmproxy fills each once.
    assert taken < (4 << 20 if host == "ok.test" else 30 << 20)
    writer.transport.abort()
    server.close()
    await close_all(accepted)


async def test_upload_waits_for_the_decision(rig: Rig):
    """P-34: while a name is being resolved, no more than a bounded piece of the body is taken in."""
    resolving, may_end = asyncio.Event(), asyncio.Event()

    async def never(_host: str) -> list[str]:
        resolving.set()
        await may_end.wait()
        return []

    rig.server.hooks.dials._lookup = never
    _reader, writer = await rig.open(rig.settings.explicit_port)
    port = rig.upstream.plain_port
    head = f"POST http://a.wild.test:{port}/ HTTP/1.1\r\nHost: a.wild.test:{port}\r\nContent-Length: 100000000\r\n\r\n"
    writer.write(head.encode())
    await asyncio.wait_for(resolving.wait(), 30)

    assert await _push(rig, writer) < 4 << 20
    may_end.set()
    writer.transport.abort()


async def test_upload_goes_on_after_the_wait(rig: Rig):
    """Waiting loses nothing: a large body through a slow decision arrives whole."""
    rig.names["a.wild.test"] = rig.names["x.wild.test"]
    quick = rig.server.hooks.dials._lookup

    async def slow(host: str) -> list[str]:
        await asyncio.sleep(0.3)
        return await quick(host)

    rig.server.hooks.dials._lookup = slow
    async with client(rig) as http:
        body = b"x" * 20_000_000
        answer = await http.post(f"http://a.wild.test:{rig.upstream.plain_port}/", content=body)

    assert answer.status_code == 200
    assert rig.upstream.body_bytes == len(body)


async def test_client_that_takes_nothing_is_sent_nothing(rig: Rig):
    """P-34: an HTTP/2 client with a closed window makes the upstream wait, not the proxy's memory."""
    rig.upstream.response = b"HTTP/1.1 200 OK\r\ncontent-length: 40000000\r\n\r\n" + b"x" * 40_000_000
    peer = await H2(rig).open()
    stream = peer.connection.get_next_available_stream_id()
    peer.connection.send_headers(stream, head(rig, "ok.test", "/"), end_stream=True)
    peer.flush()
    while not any(isinstance(e, h2.events.DataReceived) for e in peer.events):
        await peer.read()
    [session] = rig.server.hooks.clients.sessions.values()
    waiting, idle = -1, 0
    while idle < 20:  # until no more is taken from the upstream
        await rig.settled()
        idle = idle + 1 if session.unsent() == waiting else 0
        waiting = session.unsent()
    assert 0 < waiting < 3 << 20
    peer.writer.transport.abort()
