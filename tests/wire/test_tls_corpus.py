"""Odd ClientHellos, odd upstreams and odd HTTP/2 (attacks.md ids in front of each row)."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
import struct
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.admission.session import SLOW
from tests.wire.conftest import Rig
from tests.wire.origin import UPSTREAM
from tests.wire.raw import open_tunnel, refusals, send
from tests.wire.test_http2 import converse, head
from tests.wire.test_refusals import client, tunnel


def extension(kind: int, body: bytes) -> bytes:
    """One extension of a ClientHello (RFC 8446 section 4.2)."""
    return struct.pack(">HH", kind, len(body)) + body


def names(*entries: tuple[int, bytes]) -> bytes:
    """A server_name extension (RFC 6066 section 3) with these (type, name) entries."""
    listed = b"".join(struct.pack(">BH", kind, len(name)) + name for kind, name in entries)
    return extension(0, struct.pack(">H", len(listed)) + listed)


def client_hello(*extensions: bytes, record_bytes: int = 1 << 14) -> bytes:
    """A TLS 1.2 style ClientHello, cut into records of at most `record_bytes`."""
    groups = extension(10, b"\x00\x02\x00\x17")
    algorithms = extension(13, b"\x00\x04\x04\x03\x08\x04")
    joined = b"".join((groups, algorithms, *extensions))
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x04\xc0\x2b\xc0\x2f" + b"\x01\x00"
    body += struct.pack(">H", len(joined)) + joined
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    pieces = [message[at : at + record_bytes] for at in range(0, len(message), record_bytes)]
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(piece)) + piece for piece in pieces)


OK = names((0, b"ok.test"))
BAD_HELLOS = {
    "N-38 no server name": (client_hello(), "no_sni"),
    "N-38 no extensions that matter": (client_hello(extension(0x2A2A, b"")), "no_sni"),
    "N-39 two names": (client_hello(names((0, b"ok.test"), (0, b"evil.test"))), "bad_host"),
    "N-39 two extensions": (client_hello(OK, names((0, b"evil.test"))), "bad_host"),
    "N-39 two equal extensions": (client_hello(OK, OK), "bad_host"),
    "N-39 a type that is no host name": (client_hello(names((1, b"ok.test"))), "bad_host"),
    "N-39 a name without a byte": (client_hello(names((0, b""))), "bad_host"),
    "N-39 no name in the list": (client_hello(names()), "bad_host"),
    "N-40 an IPv4 address": (client_hello(names((0, b"93.184.216.34"))), "ip_literal"),
    "N-40 a NUL": (client_hello(names((0, b"evil.test\x00.ok.test"))), "bad_host"),
    "N-15 a line feed at the end": (client_hello(names((0, b"ok.test\n"))), "bad_host"),
    "N-18 a name beyond ASCII": (client_hello(names((0, "ök.test".encode()))), "bad_host"),
    "N-28 another name": (client_hello(names((0, b"evil.test"))), "not_allowed_host"),
    "N-41 ECH with an outer name that is not allowed": (
        client_hello(names((0, b"evil.test")), extension(0xFE0D, bytes(64))),
        "not_allowed_host",
    ),
    "P-10 a handshake that is no ClientHello": (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "not_tls_or_http"),
    "P-10 a ClientHello without an end": (
        b"\x16\x03\x01\x40\x00\x01\x00\xff\xff" + bytes(0x4000 - 4) + (b"\x16\x03\x01\x40\x00" + bytes(0x4000)) * 2,
        "not_tls_or_http",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_HELLOS, ids=lambda c: c)
async def test_bad_client_hello_is_refused(rig: Rig, case: str):
    """A server name that is odd is not taken for an absent one; nothing is resolved or dialled."""
    hello, reason = BAD_HELLOS[case]

    got = await send(rig, "sni", hello, until_close=False)

    assert not got.startswith(b"HTTP/")
    assert refusals(rig) == [reason] == [line["reason_code"] for line in rig.lines]
    assert (rig.upstream.accepts, rig.lookups) == (0, [])


@pytest.mark.parametrize(
    "case", ["N-39 two names", "N-39 a type that is no host name", "N-38 no server name"]
)
async def test_bad_client_hello_in_a_tunnel_to_an_address(rig: Rig, case: str):
    """Only a ClientHello without any server name may go to a listed address; an odd one may not pass for it."""
    policy = rig.policy()
    rules = tuple(_at_address(rule) if str(rule.host) == "pass.test" else rule for rule in policy.allow)
    object.__setattr__(policy, "allow", rules)
    await rig.link.grant(rig.grant(revision=2, policy=policy))
    reader, writer = await open_tunnel(rig, f"{UPSTREAM}:{rig.upstream.tls_port}")

    writer.write(BAD_HELLOS[case][0])
    with contextlib.suppress(ConnectionError):
        await rig.until_quiet(reader)

    is_absent = case.startswith("N-38")
    assert rig.upstream.accepts == (1 if is_absent else 0)
    assert [line["reason_code"] for line in rig.lines] == [None if is_absent else "bad_host"]


def _at_address(rule):
    from dataclasses import replace

    from proxy.policy.hosts import HostPattern

    return replace(rule, host=HostPattern.parse(UPSTREAM))


GOOD_HELLOS = {
    "N-39 in many records": client_hello(OK, record_bytes=7),
    "N-39 behind 16 kB of padding": client_hello(extension(21, bytes(16_000)), OK),
    "N-41 with a GREASE ECH extension": client_hello(OK, extension(0xFE0D, bytes(200))),
    "N-01 in capitals": client_hello(names((0, b"OK.Test"))),
    "N-02 with a final dot": client_hello(names((0, b"ok.test."))),
}


@pytest.mark.parametrize("case", GOOD_HELLOS, ids=lambda c: c)
async def test_odd_but_plain_client_hello_leads_to_its_outer_name(rig: Rig, case: str):
    """However a ClientHello is cut or padded, the one name in clear text is what is judged and answered."""
    reader, writer = await rig.open(rig.settings.sni_port)
    hello = GOOD_HELLOS[case]
    for at in range(0, len(hello), 1000):
        writer.write(hello[at : at + 1000])
        await writer.drain()
    record = await asyncio.wait_for(reader.readexactly(6), 30)

    assert (record[:1], record[5:]) == (b"\x16", b"\x02"), "a ServerHello"
    assert refusals(rig) == []
    writer.close()


async def test_silent_client_is_cut(rig: Rig):
    """P-10: one or two bytes, then nothing: cut at the deadline, at each door, with a line each."""
    writers = [(await rig.open(port))[1] for port in _ports(rig)]
    for sent, writer in zip((b"G", b"\x16\x03", b"GE"), writers, strict=True):
        writer.write(sent)
    while len(rig.server.hooks.clients.sessions) < 3:
        await asyncio.sleep(0.01)
    await rig.settled()
    assert all(s.deadline for s in rig.server.hooks.clients.sessions.values())

    _let_time_pass(rig, 31)
    rig.server.sweep()
    await _until_no_sessions(rig)

    assert refusals(rig) == ["bad_request"] * 3
    assert rig.upstream.accepts == 0


async def test_connection_without_a_byte_is_cut_later(rig: Rig):
    """A connection opened ahead may wait longer than a head that has begun, but not for ever."""
    await rig.open(rig.settings.explicit_port)
    while not rig.server.hooks.clients.sessions:
        await asyncio.sleep(0.01)

    _let_time_pass(rig, 31)
    rig.server.sweep()
    assert rig.server.hooks.clients.sessions
    _let_time_pass(rig, 61)
    rig.server.sweep()
    await _until_no_sessions(rig)

    assert refusals(rig) == ["not_tls_or_http"]


@pytest.mark.parametrize(
    "begun", [b"", b"CONNECT ok.test:443 HTTP/1.1\r\n", b"GET http://ok.test/ HTTP/1.1\r\nX: "]
)
async def test_slow_head_is_cut_however_often_a_byte_comes(rig: Rig, begun: bytes):
    """P-33: the time runs from the first byte; more bytes give no more time. A second head is timed too."""
    reader, writer = await rig.open(rig.settings.explicit_port)
    if not begun:
        port = rig.upstream.plain_port
        writer.write(f"GET http://ok.test:{port}/ HTTP/1.1\r\nHost: ok.test:{port}\r\n\r\n".encode())
        await asyncio.wait_for(reader.readuntil(b"ok"), 30)
        [session] = rig.server.hooks.clients.sessions.values()
        assert session.deadline is None
    writer.write(begun or b"GET")
    await _until_owed(rig)
    _let_time_pass(rig, 20)
    writer.write(b" ")
    await rig.settled()
    _let_time_pass(rig, 31)
    rig.server.sweep()

    await asyncio.wait_for(reader.read(), 30)
    await rig.settled()
    assert refusals(rig) == ["bad_request"]


async def test_slow_client_hello_in_a_tunnel_is_cut(rig: Rig):
    """P-33: the time for a ClientHello runs from its first byte, for the tunnel's silence from the CONNECT."""
    reader, writer = await open_tunnel(rig, "ok.test:443")
    writer.write(client_hello(OK)[:20])
    await _until_owed(rig)
    await rig.settled()

    _let_time_pass(rig, 31)
    rig.server.sweep()

    assert await asyncio.wait_for(reader.read(), 30) == b""
    await rig.settled()
    assert refusals(rig) == ["bad_request"]


def _ports(rig: Rig) -> list[int]:
    return [rig.settings.explicit_port, rig.settings.sni_port, rig.settings.host_port]


def _let_time_pass(rig: Rig, seconds: float) -> None:
    """Move every deadline back by what has not been moved yet of `seconds`."""
    for session in rig.server.hooks.clients.sessions.values():
        moved = getattr(rig, "_moved", 0.0)
        if session.deadline is not None:
            session.deadline = session.deadline._replace(at=session.deadline.at - (seconds - moved))
    rig._moved = seconds


async def _until_no_sessions(rig: Rig) -> None:
    async with asyncio.timeout(30):
        while rig.server.hooks.clients.sessions:
            await asyncio.sleep(0.01)
    await rig.settled()


async def _until_owed(rig: Rig) -> None:
    async with asyncio.timeout(30):
        while not any(
            s.deadline and s.deadline.decision is SLOW for s in rig.server.hooks.clients.sessions.values()
        ):
            await asyncio.sleep(0.01)


async def test_foreign_alpn_opens_no_way(rig: Rig):
    """P-11: TLS that offers only `foo`, then something that is not HTTP: closed, nothing dialled."""
    reader, writer = await open_tunnel(rig, f"ok.test:{rig.upstream.tls_port}")
    context = ssl.create_default_context(cadata=rig.link.ca_pem)
    context.set_alpn_protocols(["foo"])
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await asyncio.wait_for(writer.start_tls(context, server_hostname="ok.test"), 30)
        writer.write(b"\x00\x01binary")
        assert await asyncio.wait_for(reader.read(), 30) == b""
    await rig.settled()

    assert refusals(rig) == ["not_tls_or_http"]
    assert rig.upstream.accepts == 0


# -- upstreams -------------------------------------------------------------------------------------


def bad_context(kind: str, folder: Path, ca_pem: str) -> ssl.SSLContext:
    """A server context whose certificate is self-signed, or expired and self-signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    until = now - datetime.timedelta(days=1) if kind == "expired" else now + datetime.timedelta(days=1)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ok.test")])
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("ok.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / f"{kind}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + cert.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


@contextlib.asynccontextmanager
async def upstream_that(serve, context: ssl.SSLContext | None):
    """Another upstream on 127.0.0.2; its port."""
    server = await asyncio.start_server(serve, UPSTREAM, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def with_port(rig: Rig, port: int) -> None:
    """Let ok.test be asked on that port too."""
    from dataclasses import replace

    policy = rig.policy()
    rules = tuple(replace(rule, ports=rule.ports | {port}) for rule in policy.allow)
    object.__setattr__(policy, "allow", rules)
    await rig.link.grant(rig.grant(revision=2, policy=policy))


@pytest.mark.parametrize("kind", ["self-signed", "expired"])
async def test_unverifiable_upstream_is_502_each_time(rig: Rig, tmp_path: Path, kind: str):
    """P-14, P-15: however often it is tried, no bad certificate leads to the upstream or to passthrough."""
    reached = []

    async def serve(reader, writer):
        reached.append(await reader.read(100))
        writer.close()

    async with upstream_that(serve, bad_context(kind, tmp_path, rig.upstream.ca_pem)) as port:
        await with_port(rig, port)
        async with client(rig) as http:
            answers = [await http.get(f"https://ok.test:{port}/") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [502, 502, 502]
    assert answers[0].json()["type"] == "urn:orchbox:upstream-failed"
    assert not any(reached)


async def test_certificate_of_another_name_is_502(rig: Rig):
    """P-14: a good certificate of another host is as bad as none."""
    rig.names["rebind.test"] = [UPSTREAM]
    async with client(rig) as http:
        answer = await http.get(f"https://rebind.test:{rig.upstream.tls_port}/")

    assert answer.status_code == 502
    assert rig.upstream.heads == []


async def test_client_that_rejects_our_certificate_gets_nothing_else(rig: Rig):
    """P-15: a client that trusts only its own CA fails each time; nothing is passed through for it."""
    for _ in range(5):
        _reader, writer = await open_tunnel(rig, f"ok.test:{rig.upstream.tls_port}")
        context = ssl.create_default_context(cadata=rig.upstream.ca_pem)
        with pytest.raises(ssl.SSLError):
            await asyncio.wait_for(writer.start_tls(context, server_hostname="ok.test"), 30)
        writer.close()

    assert rig.upstream.accepts == 0


async def test_upstream_that_speaks_first_is_a_failure(rig: Rig):
    """P-09: a server's greeting never turns the connection into a raw one."""

    async def serve(reader, writer):
        writer.write(b"220 mail ESMTP\r\n")
        with contextlib.suppress(ConnectionError):
            await reader.read(1000)
        writer.close()

    async with upstream_that(serve, None) as port:
        await with_port(rig, port)
        got = await send(
            rig, "explicit", f"GET http://ok.test:{port}/ HTTP/1.1\r\nHost: ok.test:{port}\r\n\r\n".encode()
        )

    assert got.startswith(b"HTTP/1.1 502 ")
    assert b"ESMTP" not in got


# -- HTTP/2 ----------------------------------------------------------------------------------------

BAD_STREAMS = {
    "N-35 :scheme http": ({":scheme": "http"}, {}),
    "N-35 an empty :authority": ({":authority": ""}, {}),
    "P-31 a method in small letters": ({":method": "get"}, {}),
    "P-32 a path beyond its bound": ({":path": "/" + "a" * 20_000}, {}),
    "N-45 a space in the path": ({":path": "/a b"}, {}),
    "P-21 CR LF in a value": ({}, {"x": "a\r\nhost: evil.test"}),
    "P-21 transfer-encoding": ({}, {"transfer-encoding": "chunked"}),
    "P-27 a Connection header": ({}, {"connection": "x"}),
    "P-17 an odd length": ({}, {"content-length": "+5"}),
    "P-23 an odd expectation": ({}, {"expect": "200-maybe"}),
    "N-37 extended CONNECT": ({":method": "CONNECT", ":protocol": "websocket"}, {}),
    "P-32 too many headers": ({}, {f"x-{i}": "a" for i in range(300)}),
}


@pytest.mark.parametrize("case", BAD_STREAMS, ids=lambda c: c)
async def test_bad_stream_is_refused(rig: Rig, case: str):
    """A stream whose headers are malformed gets no answer but one line, and never goes upstream."""
    pseudo, more = BAD_STREAMS[case]
    headers = dict(head(rig, "ok.test", "/")) | pseudo
    request = ([*headers.items(), *more.items()], b"", [])

    [answer] = await converse(rig, "ok.test", request)
    await rig.settled()

    assert answer.status in {0, 400, 403}
    assert refusals(rig) in (["bad_request"], ["method"])
    assert len(rig.lines) == 1
    assert rig.upstream.accepts == 0


async def test_two_authorities_are_refused(rig: Rig):
    """N-35: a second :authority, equal or not, ends it."""
    headers = [*head(rig, "ok.test", "/")]
    headers.insert(2, (":authority", "evil.test"))

    [answer] = await converse(rig, "ok.test", (headers, b"", []))
    await rig.settled()

    assert answer.status == 0
    assert refusals(rig) == ["bad_request"]
    assert rig.upstream.accepts == 0


async def test_host_header_beside_authority_must_agree(rig: Rig):
    """N-35: `host` is compared with `:authority`, in both directions."""
    port = rig.upstream.tls_port
    hidden = [*head(rig, "ok.test", "/"), ("host", f"evil.test:{port}")]
    shown = [*head(rig, "evil.test", "/"), ("host", f"ok.test:{port}")]

    answers = [(await converse(rig, "ok.test", (headers, b"", [])))[0] for headers in (hidden, shown)]
    await rig.settled()

    assert [answer.status for answer in answers] == [0, 0]
    assert refusals(rig) == ["bad_request", "bad_request"]  # h2 4.3 itself compares them
    assert rig.upstream.accepts == 0


async def test_a_bad_stream_leaves_its_neighbours_alone(rig: Rig):
    """A stream that is reset does not end the connection's others."""
    good, bad = head(rig, "ok.test", "/good"), [*head(rig, "ok.test", "/bad"), ("expect", "x")]

    answers = await converse(rig, "ok.test", (good, b"", []), (bad, b"body", []), (good, b"", []))

    assert [answer.status for answer in answers] == [200, 0, 200]
    assert refusals(rig) == ["bad_request"]


async def last_word(rig: Rig, host: str, head: bytes) -> tuple[bytes, bool]:
    """What a client reads in a tunnel until the end, and whether TLS ends by a close_notify."""
    reader, writer = await tunnel(rig, host, user="explain")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cadata=rig.link.ca_pem)
    context.set_alpn_protocols(["http/1.1"])
    session = context.wrap_bio(incoming, outgoing, server_hostname=host.partition(":")[0])
    got, is_sent = b"", False
    async with asyncio.timeout(30):
        while True:
            try:
                if not is_sent:
                    session.do_handshake()
                    session.write(head)
                    is_sent = True
                piece = session.read(1 << 16)
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                if not (came := await reader.read(1 << 16)):
                    writer.close()
                    return got, False
                incoming.write(came)
                continue
            got += piece
            if not piece:
                writer.close()
                return got, True


async def test_refusal_ends_with_close_notify(rig: Rig):
    """A client that takes an end without it for an error (apt) would show that instead of the refusal."""
    got, is_told = await last_word(rig, "evil.test:443", b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n")

    assert got.startswith(b"HTTP/1.1 403")
    assert b"not_allowed_host" in got
    assert is_told


async def test_whole_answer_ends_with_close_notify(rig: Rig):
    """An allowed answer whose length was told, where the client asked for the close."""
    host = f"ok.test:{rig.upstream.tls_port}"
    head = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()

    got, is_told = await last_word(rig, host, head)

    assert got.startswith(b"HTTP/1.1 200")
    assert is_told


async def test_answer_cut_off_ends_without_close_notify(rig: Rig):
    """Nobody takes half an answer for a whole one."""
    rig.upstream.response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nbroken\r\n"
    host = f"ok.test:{rig.upstream.tls_port}"

    got, is_told = await last_word(rig, host, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())

    assert got.startswith(b"HTTP/1.1 200")
    assert b"half" in got
    assert not is_told
