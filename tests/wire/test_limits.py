"""Limits per sandbox on the wire: what is over a budget is told or cut, recorded, and hurts nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import replace

import dns.message
import dns.rcode
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest

from proxy.admission import meters
from proxy.policy import limits
from proxy.policy.model import Budgets
from tests.wire.conftest import Rig, close_all
from tests.wire.raw import open_door, open_tunnel, refusals, request_line, send
from tests.wire.test_http2 import converse, head
from tests.wire.test_names import ask
from tests.wire.test_refusals import client, problem
from tests.wire.test_tls_corpus import client_hello, names


async def budget(rig: Rig, **values: int) -> None:
    """Put budgets in force, as a new revision."""
    policy = replace(rig.policy(), budgets=Budgets(**values))
    revision = max(grant.revision for grant in rig.server.grants.held()) + 1
    await rig.link.grant(rig.grant(revision=revision, policy=policy))


def meter(rig: Rig) -> meters.Meter:
    """The counters of this test's sandbox."""
    return rig.server.hooks.clients.meters.of("run-1")


async def get(rig: Rig, door: str) -> bytes:
    """One allowed request on a connection of its own."""
    return await send(rig, door, request_line(rig, door) + b"Connection: close\r\n\r\n")


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


# -- memory ------------------------------------------------------------------------------------------


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


# -- whose counters ----------------------------------------------------------------------------------


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


# -- HTTP/2 ----------------------------------------------------------------------------------------


class H2:
    """A bare HTTP/2 client inside a tunnel to ok.test."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        config = h2.config.H2Configuration(validate_outbound_headers=False)
        self.connection = h2.connection.H2Connection(config)
        self.events: list[h2.events.Event] = []

    async def open(self) -> H2:
        """Shake hands up to the server's settings."""
        self.reader, self.writer = await open_tunnel(self.rig, f"ok.test:{self.rig.upstream.tls_port}")
        context = ssl.create_default_context(cadata=self.rig.link.ca_pem)
        context.set_alpn_protocols(["h2"])
        await asyncio.wait_for(self.writer.start_tls(context, server_hostname="ok.test"), 30)
        self.connection.initiate_connection()
        self.flush()
        while not any(isinstance(e, h2.events.RemoteSettingsChanged) for e in self.events):
            await self.read()
        return self

    def flush(self) -> None:
        """Send what is queued."""
        self.writer.write(self.connection.data_to_send())

    async def read(self) -> bytes:
        """Take in one piece; empty at the end."""
        data = await asyncio.wait_for(self.reader.read(1 << 16), 30)
        self.events += self.connection.receive_data(data) if data else []
        return data

    async def until_closed(self) -> list[h2.errors.ErrorCodes | int | None]:
        """Read to the end; the error codes with which the proxy ended it."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while await self.read():
                pass
        self.writer.close()
        await self.rig.settled()
        return [e.error_code for e in self.events if isinstance(e, h2.events.ConnectionTerminated)]


async def test_streams_at_one_time_are_bounded_and_announced(rig: Rig):
    """The settings say 100; a client that opens more is cut off with one line."""
    peer = await H2(rig).open()
    assert peer.connection.remote_settings.max_concurrent_streams == limits.MAX_STREAMS

    peer.connection.remote_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
    peer.connection.remote_settings.acknowledge()
    for _ in range(limits.MAX_STREAMS + 1):
        stream = peer.connection.get_next_available_stream_id()
        peer.connection.send_headers(stream, head(rig, "ok.test", "/", "POST"))
    peer.flush()

    assert await peer.until_closed() != []
    assert "bad_request" in refusals(rig)


async def test_rapid_reset_ends_the_connection(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """CVE-2023-44487: streams opened and taken back are counted; beyond the bound the connection ends."""
    monkeypatch.setattr("proxy.layers.http2.MAX_RESETS_PER_MINUTE", 20)
    peer = await H2(rig).open()
    for _ in range(30):
        stream = peer.connection.get_next_available_stream_id()
        peer.connection.send_headers(stream, head(rig, "ok.test", "/", "POST"))
        peer.connection.reset_stream(stream)
    peer.flush()

    assert await peer.until_closed() == [h2.errors.ErrorCodes.ENHANCE_YOUR_CALM]
    assert refusals(rig) == ["bad_request"]


async def test_header_block_without_an_end_is_bounded(rig: Rig):
    """CONTINUATION frames pile up to a bound only, far below the 8 MiB that mitmproxy would hold."""
    peer = await H2(rig).open()
    frame = b"\x00" * 16_000
    peer.writer.write(len(frame).to_bytes(3, "big") + b"\x01\x00" + (1).to_bytes(4, "big") + frame)
    for _ in range(6):
        peer.writer.write(len(frame).to_bytes(3, "big") + b"\x09\x00" + (1).to_bytes(4, "big") + frame)

    assert await peer.until_closed() == [h2.errors.ErrorCodes.ENHANCE_YOUR_CALM]
    assert refusals(rig) == ["bad_request"]


async def test_unfinished_header_block_is_timed(rig: Rig):
    """A header block that is sent slowly is a slow head like any other."""
    peer = await H2(rig).open()
    peer.writer.write((4).to_bytes(3, "big") + b"\x01\x00" + (1).to_bytes(4, "big") + b"\x82\x84\x86\x41")
    async with asyncio.timeout(30):
        while not any(s.deadline for s in rig.server.hooks.clients.sessions.values()):
            await asyncio.sleep(0.01)
    [session] = rig.server.hooks.clients.sessions.values()
    assert session.deadline is not None
    session.deadline = session.deadline._replace(at=0.0)

    rig.server.sweep()
    await peer.until_closed()

    assert refusals(rig) == ["bad_request"]


async def test_tunnels_beyond_the_budget_are_429(rig: Rig):
    """They count whether anything is said in them or not, and the next one is told."""
    await budget(rig, tunnels_per_minute=2)
    got = [await rig.connect(f"ok.test:{rig.upstream.tls_port}") for _ in range(3)]

    assert [b" 200 " in answer.partition(b"\r\n")[0] for answer in got] == [True, True, False]
    assert b" 429 " in got[-1].partition(b"\r\n")[0]
    assert refusals(rig) == ["budget_requests"]


# -- names, certificates, audit ----------------------------------------------------------------------


async def test_certificates_for_new_names_are_bounded(rig: Rig):
    """A sandbox that asks for ever new names of a wildcard gets a number a minute; the store has an end."""
    await budget(rig, new_names_per_minute=5)
    context = ssl.create_default_context(cadata=rig.link.ca_pem)
    outcomes = []
    for i in range(7):
        rig.names[f"n{i}.wild.test"] = rig.names["x.wild.test"]
        _reader, writer = await open_tunnel(rig, f"n{i}.wild.test:{rig.upstream.tls_port}")
        try:
            await asyncio.wait_for(writer.start_tls(context, server_hostname=f"n{i}.wild.test"), 30)
            outcomes.append("served")
        except (ssl.SSLError, ConnectionError):
            outcomes.append("refused")
        writer.close()
    await rig.settled()

    assert outcomes == ["served"] * 5 + ["refused"] * 2
    assert refusals(rig) == ["budget_requests"] * 2
    assert rig.upstream.accepts == 0


async def test_certificate_store_has_an_end(rig: Rig):
    """mitmproxy 12.2 keeps the last hundred leaves."""
    store = rig.server._tls.certstore
    for i in range(store.STORE_CAP + 20):
        store.get_cert(f"n{i}.wild.test", [])

    assert len(store.certs) == store.STORE_CAP


async def test_questions_are_bounded(rig: Rig):
    """Beyond the limit names are answered REFUSED without work; one line counts them."""
    await budget(rig, dns_questions_per_minute=2)
    codes = [(await ask(rig, "ok.test", "A", "tcp")).rcode() for _ in range(4)]
    rig.server.sweep()
    await rig.settled()

    assert codes == [dns.rcode.NOERROR] * 2 + [dns.rcode.REFUSED] * 2
    assert [(line["reason_code"], line["suppressed"]) for line in rig.lines] == [("budget_requests", 2)]


async def test_clients_of_the_sink_are_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """Those over TCP, which mitmproxy keeps for a while after they closed: they have a number, and are let go."""
    monkeypatch.setattr(limits, "MAX_NAME_PEERS", 2)
    held = [await rig.open(rig.settings.dns_port) for _ in range(2)]
    while meter(rig).name_peers < 2:
        await asyncio.sleep(0.01)
    with pytest.raises((EOFError, ConnectionError)):
        await ask(rig, "ok.test", "A", "tcp")
    for _, writer in held:
        writer.close()
    for session in rig.server.hooks.clients.sessions.values():
        assert session.deadline is not None
        session.deadline = session.deadline._replace(at=0.0)
    rig.server.sweep()  # mitmproxy 12.2 holds on to a DNS client that has closed
    while meter(rig).name_peers:
        await asyncio.sleep(0.01)

    assert [(line["reason_code"], line["suppressed"]) for line in rig.lines] == [("budget_requests", 1)]
    assert (await ask(rig, "ok.test", "A", "tcp")).rcode() == dns.rcode.NOERROR


async def test_a_flood_of_refusals_is_counted_not_written(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """Lines and counts together are every refusal; a revocation loses none."""
    monkeypatch.setattr(limits, "DENY_LINES_PER_MINUTE", 3)
    for i in range(10):
        await rig.connect(f"x{i}.evil.test:443")
    rig.server.sweep()
    for i in range(5):
        await rig.connect(f"y{i}.evil.test:443")
    await rig.link.revoke("run-1")
    await rig.settled()

    counts = [line["suppressed"] for line in rig.lines]
    assert counts == [0, 0, 0, 7, 5]
    assert {line["reason_code"] for line in rig.lines} == {"not_allowed_host"}
    assert {line["sandbox_id"] for line in rig.lines} == {"run-1"}


async def test_allowed_requests_always_have_their_line(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """What went out is never left out of the audit."""
    monkeypatch.setattr(limits, "DENY_LINES_PER_MINUTE", 0)
    async with client(rig) as http:
        for _ in range(3):
            await http.get(f"http://ok.test:{rig.upstream.plain_port}/")

    assert [line["verdict"] for line in rig.lines] == ["allow"] * 3
