"""Budgets of a sandbox on the wire: what is over one is told or cut, recorded, and hurts nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest

from proxy.admission import meters
from proxy.policy import limits
from tests.wire.budgets import budget, get, meter
from tests.wire.conftest import Rig
from tests.wire.raw import open_door, open_tunnel, refusals, request_line, send
from tests.wire.test_http2 import converse, head
from tests.wire.test_refusals import problem

# -- requests --------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["explicit", "host", "tunnel"])
async def test_requests_beyond_the_budget_are_429(rig: Rig, door: str):
    """A request is counted once at each door, tunnel or not; the next is told, recorded, and not sent on."""
    await budget(rig, requests_per_minute=2)
    for _ in range(2):
        assert b"HTTP/1.1 200 " in await get(rig, door)

    if door == "tunnel":
        got = await rig.connect(f"ok.test:{rig.upstream.tls_port}")
    else:
        got = await get(rig, door)

    assert got.startswith(b"HTTP/1.1 429 ")
    assert problem(got)["reason_code"] == "budget_requests"
    assert problem(got)["retry"] == "may help"
    assert refusals(rig) == ["budget_requests"]
    assert len(rig.upstream.heads) == 2


async def test_every_stream_is_a_request(rig: Rig):
    """One HTTP/2 connection gets no more than many connections do."""
    await budget(rig, requests_per_minute=2)

    answers = await converse(rig, "ok.test", *([(head(rig, "ok.test", "/"), b"", [])] * 4))

    assert sorted(answer.status for answer in answers) == [200, 200, 429, 429]
    assert refusals(rig) == ["budget_requests"] * 2


async def test_refused_requests_count_too(rig: Rig):
    """A sandbox that only asks for what it may not have is stopped as well."""
    await budget(rig, requests_per_minute=2)

    statuses = [(await rig.connect("evil.test:443"))[9:12] for _ in range(3)]

    assert statuses == [b"403", b"403", b"429"]
    assert refusals(rig)[-1] == "budget_requests"


async def test_passed_through_connections_count(rig: Rig):
    """A passed-through connection is one request, since nothing in it is seen."""
    await budget(rig, requests_per_minute=1)
    authority = f"pass.test:{rig.upstream.tls_port}"
    context = ssl.create_default_context(cadata=rig.upstream.ca_pem)
    _reader, writer = await open_tunnel(rig, authority)
    await asyncio.wait_for(writer.start_tls(context, server_hostname="pass.test"), 30)

    assert (await rig.connect(authority)).startswith(b"HTTP/1.1 429 ")
    writer.close()


async def test_requests_come_back_with_time(rig: Rig):
    """A minute later there is a new budget."""
    now = [1000.0]
    rig.server.hooks.clients.meters.clock = lambda: now[0]
    await budget(rig, requests_per_minute=1)
    first, second = await get(rig, "explicit"), await get(rig, "explicit")
    now[0] += 61

    assert [first[9:12], second[9:12], (await get(rig, "explicit"))[9:12]] == [b"200", b"429", b"200"]


# -- connections -----------------------------------------------------------------------------------


async def test_connections_beyond_the_budget_are_told_then_closed(rig: Rig):
    """Open connections have a limit; some beyond it hear why, the rest is closed at once; one that ends helps."""
    await budget(rig, connections=2)
    held = [await rig.open(rig.settings.explicit_port) for _ in range(2 + limits.MAX_TOLD_CONNECTIONS)]
    while meter(rig).connections < len(held):
        await asyncio.sleep(0.01)

    cut = await send(rig, "explicit", b"GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n")
    reader, writer = held[2]
    writer.write(b"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test\r\n\r\n")
    told = await asyncio.wait_for(reader.read(1 << 16), 30)

    assert cut == b""
    assert told.startswith(b"HTTP/1.1 429 ")
    assert problem(told)["reason_code"] == "budget_connections"
    assert refusals(rig) == ["budget_connections"] * (limits.MAX_TOLD_CONNECTIONS + 1)
    assert problem(told)["request_id"] in {line["request_id"] for line in rig.lines}
    for _, writer in held:
        writer.close()
    while meter(rig).connections:
        await asyncio.sleep(0.01)
    assert b"HTTP/1.1 200 " in await get(rig, "explicit")


async def test_refused_connection_is_told_in_tls(rig: Rig):
    """By server name, too, the client reads the 429 itself, and nothing is dialled or passed through."""
    await budget(rig, connections=0)
    context = ssl.create_default_context(cadata=rig.link.ca_pem)
    reader, writer = await rig.open(rig.settings.sni_port)
    await asyncio.wait_for(writer.start_tls(context, server_hostname="pass.test"), 30)
    writer.write(b"GET / HTTP/1.1\r\nHost: pass.test\r\n\r\n")

    assert (await asyncio.wait_for(reader.read(), 30)).startswith(b"HTTP/1.1 429 ")
    assert refusals(rig) == ["budget_connections"]
    assert rig.upstream.accepts == 0


# -- bytes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["explicit", "tunnel"])
async def test_upload_is_cut_when_its_bytes_are_used_up(rig: Rig, door: str):
    """In the middle of a body, with one line; the next connection is told 429 and stays refused."""
    await budget(rig, bytes_out=200_000)
    reader, writer = await open_door(rig, door)
    writer.write(request_line(rig, door, "POST") + b"Content-Length: 10000000\r\n\r\n")
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        for _ in range(100):
            writer.write(b"x" * 100_000)
            await writer.drain()
        await asyncio.wait_for(reader.read(), 30)
    await rig.settled()

    assert refusals(rig) == ["budget_bytes"]
    assert rig.upstream.body_bytes == 0  # no request was ever complete
    told = await rig.raw(b"GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 429 ")
    assert problem(told)["reason_code"] == "budget_bytes"
    assert problem(told)["retry"] == "will not help"


@pytest.mark.parametrize("host", ["ok.test", "pass.test"], ids=["inspected", "passed through"])
async def test_download_is_cut_when_its_bytes_are_used_up(rig: Rig, host: str):
    """A stream ends at the limit, inspected or not; no more than that reaches the sandbox."""
    await budget(rig, bytes_in=500_000)
    rig.upstream.response = b"HTTP/1.1 200 OK\r\ncontent-length: 5000000\r\n\r\n" + b"x" * 5_000_000
    reader, writer = await open_tunnel(rig, f"{host}:{rig.upstream.tls_port}")
    ca_pem = rig.link.ca_pem if host == "ok.test" else rig.upstream.ca_pem
    context = ssl.create_default_context(cadata=ca_pem)
    await asyncio.wait_for(writer.start_tls(context, server_hostname=host), 30)
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}:{rig.upstream.tls_port}\r\n\r\n".encode())
    got = 0
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while piece := await asyncio.wait_for(reader.read(1 << 16), 30):
            got += len(piece)
    await rig.settled()

    assert 0 < got <= 500_000
    assert refusals(rig) == ["budget_bytes"]


async def test_a_told_connection_is_no_way_round_the_byte_budget(rig: Rig):
    """What hears only a refusal passes a few bytes outside the budget, and is cut beyond them."""
    await budget(rig, bytes_out=0)
    head = b"POST http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 100000000\r\n\r\n"
    reader, writer = await rig.open(rig.settings.explicit_port)
    writer.write(head)
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    sent = 0
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(30):
            while sent < 50 << 20 and not writer.is_closing():
                writer.write(b"x" * (1 << 20))
                await writer.drain()
                sent += 1 << 20

    assert answer.startswith(b"HTTP/1.1 429 ")
    assert sent < 20 << 20  # what the kernel's buffers take
    assert refusals(rig) == ["budget_bytes"]
    assert rig.upstream.accepts == 0


# -- whose counters --------------------------------------------------------------------------------


async def test_a_new_revision_keeps_the_counters(rig: Rig):
    """A policy change gives nothing back."""
    await budget(rig, requests_per_minute=1)
    await get(rig, "explicit")
    await budget(rig, requests_per_minute=1)

    assert (await get(rig, "explicit")).startswith(b"HTTP/1.1 429 ")


async def test_counters_go_with_the_grant(rig: Rig):
    """After a revocation nothing of the sandbox is left, and the next sandbox at its place starts anew."""
    await budget(rig, requests_per_minute=1)
    await get(rig, "explicit")
    await rig.link.revoke("run-1")
    assert [sandbox for sandbox, _ in rig.server.hooks.clients.meters.items()] == [None]
    await rig.link.grant(rig.grant(sandbox_id="run-2"))

    assert (await get(rig, "explicit")).startswith(b"HTTP/1.1 200 ")
    assert not rig.server.hooks.clients.sessions or await _none_left(rig)


async def _none_left(rig: Rig) -> bool:
    async with asyncio.timeout(30):
        while rig.server.hooks.clients.sessions or rig.server.hooks.clients.meters.of("run-2").connections:
            await asyncio.sleep(0.01)
    return True


async def test_a_flood_leaves_the_neighbour_served(rig: Rig):
    """One sandbox at its limits, connections, requests and refusals alike, and the other gets its answer.

    Two sandboxes never share a process (`unit/proxy/test_parent.py`); their accounts are apart all the same.
    """
    await budget(rig, connections=20, requests_per_minute=50)
    neighbour = rig.grant(sandbox_id="run-b", sandbox_address="127.0.0.3")
    rig.server.grants.put(neighbour)
    flood = [asyncio.create_task(get(rig, "explicit")) for _ in range(100)]
    flood += [asyncio.create_task(rig.connect(f"x{i}.evil.test:443")) for i in range(100)]

    statuses = [await _get_from(rig, "127.0.0.3") for _ in range(10)]
    await asyncio.gather(*flood, return_exceptions=True)

    assert statuses == [b"200"] * 10
    assert meter(rig).connections <= 20
    assert (
        {"budget_connections"}
        <= set(refusals(rig))
        <= {"budget_connections", "budget_requests", "not_allowed_host"}
    )
    assert all(line["sandbox_id"] == "run-1" for line in rig.lines if line["verdict"] == "deny")


async def _get_from(rig: Rig, address: str) -> bytes:
    """The status of an allowed request from another sandbox's address."""
    port = rig.settings.explicit_port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    writer.write(request_line(rig, "explicit") + b"\r\n")
    status = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30))[9:12]
    writer.close()
    return status


@pytest.mark.parametrize("where", ["take_request", "open_connection", "take_bytes", "take_tunnel"])
async def test_failing_accounts_deny(rig: Rig, monkeypatch: pytest.MonkeyPatch, where: str):
    """An exception while counting is a refusal, wherever it happens."""

    def boom(*_args, **_kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(meters.Meter, where, boom)
    got = b""
    with contextlib.suppress(AssertionError, asyncio.IncompleteReadError, ConnectionError):
        got = await send(rig, "tunnel", request_line(rig, "tunnel") + b"\r\n", until_close=False)

    assert b" 200 OK" not in got
    assert rig.upstream.accepts == 0


async def test_a_failing_layer_ends_the_connection(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """mitmproxy would log the exception and go on; here the connection is cut."""
    from proxy.layers.http1 import GuardedHttp1Server

    def boom(*_args):
        raise ZeroDivisionError
        yield

    monkeypatch.setattr(GuardedHttp1Server, "read_headers", boom)

    assert await get(rig, "explicit") == b""
