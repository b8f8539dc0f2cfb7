"""The API on a TCP port: TLS, callers with tokens, and no connection from where sandboxes are."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from runtime.access.certificates import Files, ensure
from runtime.access.listen import Listen
from runtime.access.sleeping_server import SignallessServer
from runtime.daemon.settings import Settings
from runtime.errors import NotReadyError

HEAD_S = 10.0
"""For a request's head, from its connection or from the answer before."""
LOCAL = ("127.0.0.1", "::1", "localhost")
EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - no name for a certificate
MAX_PER_PEER = 128
MAX_CONNECTIONS = 1024

type IsSandboxed = Callable[[ipaddress.IPv4Address | ipaddress.IPv6Address], bool]
"""Whether an address is one where sandboxes, or their proxy, are."""


class Doorkeeper:
    """Which connections are taken."""

    def __init__(self, is_sandboxed: IsSandboxed) -> None:
        self._is_sandboxed = is_sandboxed
        self._peers: Counter[str] = Counter()
        self._log = structlog.get_logger()

    def admits(self, peer: str) -> bool:
        """Whether a peer is spoken with at all: nobody is from where sandboxes are."""
        address = ipaddress.ip_address(peer.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if self._is_sandboxed(address):
            self._log.error("api-refused-a-sandbox", peer=str(address))
            return False
        return True

    def enter(self, peer: str) -> bool:
        """Whether there is room for one more connection; each that has it is to `leave`."""
        if self._peers[peer] >= MAX_PER_PEER or self._peers.total() >= MAX_CONNECTIONS:
            return False
        self._peers[peer] += 1
        return True

    def leave(self, peer: str) -> None:
        """It is closed."""
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]


class _Listener(socket.socket):
    """Takes no connection that the doorkeeper does not admit: not a byte of it is read."""

    doorkeeper: Doorkeeper

    def accept(self) -> tuple[socket.socket, Any]:
        connection, peer = super().accept()
        if self.doorkeeper.admits(peer[0]):
            return connection, peer
        connection.close()
        raise ConnectionAbortedError  # asyncio (3.12) goes on with the next one


def protocol(doorkeeper: Doorkeeper) -> type[H11Protocol]:
    """Uvicorn's HTTP behind that doorkeeper; a head that does not come closes its connection."""

    class GuardedProtocol(H11Protocol):
        _entered: str | None = None
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn
            super().connection_made(transport)
            peer = str(transport.get_extra_info("peername")[0])
            if not doorkeeper.enter(peer):
                transport.abort()
                return
            self._entered = peer
            self._late = self.loop.call_later(HEAD_S, self._close_when_silent)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._late is not None:
                self._late.cancel()
            if self._entered is not None:
                doorkeeper.leave(self._entered)
                self._entered = None
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._late is not None:
                self._late.cancel()
            self._late = self.loop.call_later(HEAD_S, self._close_when_silent)

        def _close_when_silent(self) -> None:
            if self.cycle is None or self.cycle.response_complete:
                self.transport.abort()

    return GuardedProtocol


class TcpApi:
    """The server on the port. `start`, then `close`."""

    def __init__(self, app: FastAPI, settings: Settings, listen: Listen, doorkeeper: Doorkeeper) -> None:
        self._listen = listen
        self._tls = _certificate_files(settings) if listen.is_tls else None
        self._files = Files(settings.home / "tls") if listen.is_tls and settings.tls is None else None
        self._names = {*LOCAL, socket.gethostname(), *settings.tls_names, listen.host} - EVERYWHERE
        self._doorkeeper = doorkeeper
        self._config: dict[str, Any] = {"http": protocol(doorkeeper), "lifespan": "off", "log_config": None}
        self._app = app
        self._running: asyncio.Task[None] | None = None
        self._server: SignallessServer | None = None
        self._log = structlog.get_logger()

    async def start(self) -> None:
        """Listen. Raises NotReadyError naming what is wrong with the address or the certificate."""
        listener = _bind(self._listen, self._doorkeeper)
        try:
            config = uvicorn.Config(
                self._app,
                access_log=False,
                server_header=False,
                ws="none",
                proxy_headers=False,  # or whoever connects from loopback says who they are
                timeout_graceful_shutdown=2,
                **self._config,
            )
            config.load()
            config.ssl = self._context()
        except NotReadyError:
            listener.close()
            raise
        self._server = SignallessServer(config)
        self._running = asyncio.create_task(self._server.serve(sockets=[listener]))
        self._log.info("api-listens", url=self._listen.url, ca=str(self._files.ca) if self._files else None)

    def _context(self) -> ssl.SSLContext | None:
        if self._tls is None:
            return None
        certificate, key = self._tls
        try:
            if self._files is not None and ensure(self._files, self._names):
                self._log.warning(
                    "api-certificate-made", ca=str(self._files.ca), hint="give it to the clients"
                )
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else type(exc).__name__
            raise NotReadyError(
                f"the API's certificate {certificate} and key {key} cannot be used: {reason}",
                hint="correct ORCHBOX_TLS_CERT and ORCHBOX_TLS_KEY; without both, one of our own is made",
            ) from None
        return context

    async def close(self) -> None:
        """Answer what was asked, for a moment, then stop."""
        if self._server is not None and self._running is not None:
            self._server.should_exit = True
            await asyncio.gather(self._running, return_exceptions=True)


def _certificate_files(settings: Settings) -> tuple[str, str]:
    if settings.tls is not None:
        return str(settings.tls[0]), str(settings.tls[1])
    files = Files(settings.home / "tls")
    return str(files.certificate), str(files.key)


def _bind(listen: Listen, doorkeeper: Doorkeeper) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    listener = _Listener(family)
    listener.doorkeeper = doorkeeper
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((listen.host, listen.port))
        listener.listen(128)
    except OSError as exc:
        listener.close()
        raise NotReadyError(
            f"{listen.host}:{listen.port}: {exc.strerror or exc}",
            hint="set ORCHBOX_LISTEN to a free port of an address of this host",
        ) from None
    return listener
