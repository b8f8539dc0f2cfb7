"""The API on a TCP port: TLS, callers with tokens, and no connection from where sandboxes are."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI

from runtime.access.certificates import Files, ensure
from runtime.access.listen import Listen
from runtime.access.sleeping_server import SignallessServer
from runtime.daemon import patience
from runtime.daemon.doorkeeper import Doorkeeper, Listener
from runtime.daemon.settings import Settings
from runtime.errors import NotReadyError

LOCAL = ("127.0.0.1", "::1", "localhost")
EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - no name for a certificate


class _Server(SignallessServer):
    """uvicorn's, with limits on the time of a handshake and of TLS' end: asyncio's own are 60 s and 30 s."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await self.lifespan.startup()
        within_s = None if self.config.ssl is None else patience.HEAD_S
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                self._protocol,
                sock=listener,
                ssl=self.config.ssl,
                backlog=self.config.backlog,
                ssl_handshake_timeout=within_s,
                ssl_shutdown_timeout=within_s,
            )
            for listener in sockets or ()
        ]
        self.started = True

    def _protocol(self) -> patience.PatientProtocol:
        return patience.PatientProtocol(self.config, self.server_state, self.lifespan.state)


class TcpApi:
    """The server on the port. `start`, then `close`."""

    def __init__(self, app: FastAPI, settings: Settings, listen: Listen, doorkeeper: Doorkeeper) -> None:
        self._listen = listen
        self._tls = _certificate_files(settings) if listen.is_tls else None
        self._files = Files(settings.home / "tls") if listen.is_tls and settings.tls is None else None
        self._names = {*LOCAL, socket.gethostname(), *settings.tls_names, listen.host} - EVERYWHERE
        self._doorkeeper = doorkeeper
        self._app = app
        self._running: asyncio.Task[None] | None = None
        self._server: _Server | None = None
        self._log = structlog.get_logger()

    async def start(self) -> None:
        """Listen. Raises NotReadyError naming what is wrong with the address or the certificate."""
        listener = _bind(self._listen, self._doorkeeper)
        try:
            config = uvicorn.Config(
                self._app,
                http=patience.PatientProtocol,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                ws="none",
                proxy_headers=False,  # or whoever connects from loopback says who they are
                timeout_graceful_shutdown=2,
            )
            config.load()
            config.ssl = self._context()
        except NotReadyError:
            listener.close()
            raise
        self._server = _Server(config)
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
            context.load_cert_chain(certificate, key, password=_no_pass_phrase)
            if Path(key).stat().st_mode & 0o077:
                self._log.warning("api-key-is-open", key=key, hint="chmod 600: others here can read it")
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


def _no_pass_phrase() -> str:
    """In the place of OpenSSL's question on the terminal, for which a daemon would wait for ever."""
    raise NotReadyError(
        "ORCHBOX_TLS_KEY is encrypted, and nobody is there to be asked for its pass phrase",
        hint="openssl pkey -in KEY -out OTHER, chmod 600 OTHER, and name that one",
    )


def _certificate_files(settings: Settings) -> tuple[str, str]:
    if settings.tls is not None:
        return str(settings.tls[0]), str(settings.tls[1])
    files = Files(settings.home / "tls")
    return str(files.certificate), str(files.key)


def _bind(listen: Listen, doorkeeper: Doorkeeper) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    listener = Listener(family)
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
