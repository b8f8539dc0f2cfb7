"""The real proxy in this process, on loopback, with an upstream of our own that counts what reaches it.

127.0.0.1 plays the sandbox's network, 127.0.0.2 the upstream; names are resolved by the test's own table.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import socket
import ssl
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.contract.grant import Grant
from proxy.contract.messages import MAX_LINE_BYTES
from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Budgets, DenyRule, Policy, TlsMode
from proxy.server import ProxyServer, ProxySettings
from runtime.egress import worker_link
from runtime.egress.ca import make_ca
from runtime.egress.worker_link import WorkerLink
from tests.harness.ports import free_ports
from tests.wire.h2_upstream import H2Upstream
from tests.wire.origin import UPSTREAM, Upstream, close_all, listener, server_context

TOKEN = "token-of-this-test"


@pytest.fixture
async def upstream(tmp_path: Path) -> AsyncIterator[Upstream]:
    """The origin behind every allowed name."""
    up = Upstream()
    ca = make_ca()
    context = server_context(ca.cert_pem, ca.key_pem, tmp_path)
    context.sni_callback = lambda _s, name, _c: up.server_names.append(name)
    up.ca_pem = ca.cert_pem
    tls_sock, plain_sock = listener(up), listener(up)
    up.tls_port, up.plain_port = tls_sock.getsockname()[1], plain_sock.getsockname()[1]
    servers = [
        await asyncio.start_server(up.serve, sock=tls_sock, ssl=context),
        await asyncio.start_server(up.serve, sock=plain_sock),
    ]
    yield up
    for server in servers:
        server.close()
    await close_all(up.writers)


@dataclass
class Rig:
    """A running proxy, the link that steers it, and what it decided."""

    server: ProxyServer
    link: WorkerLink
    settings: ProxySettings
    upstream: Upstream
    running: asyncio.Task[None]
    """The server, until its connection ends."""
    lines: list[dict] = field(default_factory=list)
    """As they are decided: the daemon has each a moment later, which is checked at the end."""
    names: dict[str, list[str]] = field(default_factory=dict)
    lookups: list[str] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def open(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the proxy that is closed with the rig."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self.writers.append(writer)
        return reader, writer

    def policy(self) -> Policy:
        """ok.test inspected, pass.test passed through, paths.test by method and path."""
        tls, plain = self.upstream.tls_port, self.upstream.plain_port

        def rule(index: int, host: str, **more) -> AllowRule:
            values = {
                "id": f"t.allow[{index}]",
                "host": HostPattern.parse(host),
                "ports": frozenset({443, tls, plain}),
                "methods": None,
                "paths": None,
                "tls": TlsMode.INSPECT,
                "credential": None,
                "pin_credential": False,
            }
            return AllowRule(**{**values, **more})

        return Policy(
            name="t",
            allow=(
                rule(0, "ok.test"),
                rule(1, "pass.test", tls=TlsMode.PASSTHROUGH),
                rule(2, "*.wild.test"),
                rule(3, "paths.test", methods=frozenset({"GET"}), paths=("/v1/*",)),
                rule(4, "private.test"),
                rule(5, "rebind.test"),
            ),
            deny=(DenyRule(id="t.deny[0]", host=HostPattern.parse("denied.wild.test")),),
            agents=(),
            budgets=Budgets(),
            resolve={"ok.test": (UPSTREAM,), "pass.test": (UPSTREAM,), "paths.test": (UPSTREAM,)},
            allow_private=(ipaddress.ip_network("127.0.0.2/32"),),
            upstream_ca_pem=self.upstream.ca_pem,
        )

    def grant(self, **more) -> Grant:
        """This test's grant."""
        values = {
            "sandbox_id": "run-1",
            "revision": 1,
            "policy": self.policy(),
            "proxy_address": "127.0.0.1",
            "sandbox_address": "127.0.0.1",
            "expires_in_s": 60.0,
            "token": TOKEN,
        }
        return Grant(**{**values, **more})

    def proxy_url(self, user: str = "plain") -> str:
        """The explicit proxy's URL with this sandbox's token."""
        return f"http://{user}:{TOKEN}@127.0.0.1:{self.settings.explicit_port}"

    async def settled(self) -> None:
        """Until what the proxy has been sent, and what it has found out by itself, has had its turn.

        The proxy, its upstream and the test share one event loop, which goes round several times for each
        question over the control connection. So this holds however little of the machine they get.
        """
        await asyncio.sleep(0.01)
        for _ in range(5 if self.link.is_alive else 0):
            await self.link.revoke(f"nobody-{uuid.uuid4().hex}")  # a name for each that asks at the same time

    async def until_quiet(self, reader: asyncio.StreamReader) -> bytes:
        """What comes until the connection ends, or until nothing more comes though all have had their turns."""
        got, idle = b"", 0
        while idle < 5:
            try:
                async with asyncio.timeout(0.02):
                    piece = await reader.read(1 << 16)
            except TimeoutError:
                await self.settled()
                idle += 1
                continue
            if not piece:
                break
            got, idle = got + piece, 0
        return got

    async def raw(self, data: bytes, *, port: int | None = None, until_close: bool = False) -> bytes:
        """Send bytes to the explicit port; what comes back (a head, or all until it closes)."""
        reader, writer = await self.open(port or self.settings.explicit_port)
        try:
            writer.write(data)
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(30):
                    if until_close:
                        return await reader.read(1 << 20)
                    head = await reader.readuntil(b"\r\n\r\n")
                    for line in head.lower().split(b"\r\n"):
                        if line.startswith(b"content-length:"):
                            head += await reader.readexactly(int(line.split(b":")[1]))
                    return head
            return b""
        finally:
            writer.close()

    async def connect(self, authority: str, user: str = "plain") -> bytes:
        """A CONNECT with the token."""
        auth = base64.b64encode(f"{user}:{TOKEN}".encode()).decode()
        return await self.raw(
            f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nProxy-Authorization: Basic {auth}\r\n\r\n".encode()
        )


def _note_lines(rig: Rig) -> None:
    tell = rig.server.audit.listener
    assert tell is not None

    def note(line: dict) -> None:
        rig.lines.append(line)
        tell(line)

    rig.server.audit.listener = note


@pytest.fixture
async def rig(tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """The proxy with the grant of `Rig.grant` in force."""
    ports = free_ports(4)
    settings = ProxySettings(
        host="127.0.0.1",
        llm_socket=tmp_path / "llm.sock",
        scratch=tmp_path,
        explicit_port=ports[0],
        sni_port=ports[1],
        host_port=ports[2],
        dns_port=ports[3],
    )
    names: dict[str, list[str]] = {"private.test": ["10.0.0.1"], "x.wild.test": [UPSTREAM]}
    lookups: list[str] = []

    async def lookup(host: str) -> list[str]:
        lookups.append(host)
        if host not in names:
            raise OSError("no such name")
        return names[host]

    server = ProxyServer(settings, lookup=lookup)
    near, far = socket.socketpair()
    running = asyncio.create_task(
        server.run(*await asyncio.open_unix_connection(sock=far, limit=MAX_LINE_BYTES))
    )
    link = WorkerLink(*await asyncio.open_unix_connection(sock=near, limit=MAX_LINE_BYTES))
    rig = Rig(server, link, settings, upstream, running, names=names, lookups=lookups)
    received: list[dict] = []
    link.on_decision = received.append
    _note_lines(rig)
    # A moment in which this process gets nothing of the machine is no answer that did not come.
    monkeypatch.setattr(worker_link, "ANSWER_TIMEOUT_S", 60.0)
    monkeypatch.setattr(worker_link, "REVOKE_TIMEOUT_S", 60.0)
    await asyncio.wait_for(link.begin(), 30)
    await link.grant(rig.grant())
    yield rig
    await close_all(rig.writers)
    await rig.settled()
    assert not link.is_alive or received == rig.lines, "the daemon is told each line"
    await link.close()
    await asyncio.wait_for(running, 30)


@pytest.fixture
async def far(rig: Rig, tmp_path: Path) -> AsyncIterator[H2Upstream]:
    """ok.test speaks HTTP/2."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "upstream.pem")
    context.set_alpn_protocols(["h2"])
    upstream = H2Upstream()
    server = await asyncio.start_server(upstream.serve, UPSTREAM, 0, ssl=context)
    rig.upstream.tls_port = server.sockets[0].getsockname()[1]
    await rig.link.grant(rig.grant(revision=2))
    yield upstream
    server.close()
    await close_all(upstream.writers)
