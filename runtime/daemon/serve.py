"""`orch up` as a process: logs, the run directory, the API's socket, and serving until a signal."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI
from sse_starlette.sse import AppStatus

from runtime.access.caller import PeerProtocol
from runtime.access.sleeping_server import SleepingServer
from runtime.api.app import make_api
from runtime.api.counts import RequestCounts
from runtime.daemon import installation, last_words, pidfile
from runtime.daemon.daemon import Daemon
from runtime.daemon.doorkeeper import MAX_CONNECTIONS, Doorkeeper
from runtime.daemon.file_limit import SHARE, raise_file_limit
from runtime.daemon.library_log import LibraryLog
from runtime.daemon.metrics import Metrics
from runtime.daemon.notify import Notifier
from runtime.daemon.settings import Settings
from runtime.daemon.stopping import Stopping
from runtime.daemon.tcp import TcpApi
from runtime.errors import NotReadyError, OrchError
from runtime.explain.addresses import HostLookup
from runtime.keeper import log as keeper_log
from runtime.vault.source import EnvKey

END_S = 120.0
"""For what the daemon does after its last run was told to end: grace of agents, removal, the proxy's end."""


def configure_logs() -> None:
    """Write logs as JSON lines on stderr, the libraries' warnings among them."""
    keeper_log.configure_logs()
    for library, event in (("uvicorn", "server"), ("asyncio", "loop"), ("opentelemetry", "traces")):
        log = logging.getLogger(library)
        log.handlers = [LibraryLog(event)]
        log.propagate = False


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises ConflictError when another daemon of this run directory or installation lives, and what the
    parts raise; the log's last line tells of it.
    """
    configure_logs()
    try:
        _hold_and_serve(settings)
    except OrchError as exc:
        structlog.get_logger().error(**last_words.said(exc))
        raise


def _hold_and_serve(settings: Settings) -> None:
    # uvicorn raises the signal once more when it is done: that must end the process by the way out below.
    signal.signal(signal.SIGTERM, _leave)
    make_run_dir(settings)
    forget_keys(settings)
    with pidfile.held(settings.pid_file, installation.owner(settings)), installation.held(settings):
        daemon = Daemon(settings)
        try:
            _serve(daemon, settings, _bind(settings.api_socket))
        finally:
            settings.api_socket.unlink(missing_ok=True)


def forget_keys(settings: Settings) -> None:
    """What was read is taken out of the environment, so that no program we start inherits it."""
    variables = [source.variable for source in settings.vault_keys if isinstance(source, EnvKey)]
    for name in ("ORCHBOX_DATABASE_URL", "NOTIFY_SOCKET", *variables):
        os.environ.pop(name, None)


def make_run_dir(settings: Settings) -> None:
    """The folder of the sockets. Raises NotReadyError where it cannot be made."""
    try:
        settings.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise NotReadyError(
            f"{settings.run_dir}: {exc.strerror}", hint="set ORCHBOX_RUN_DIR to a writable path"
        ) from None


def _leave(_signal: int, _frame: object) -> None:
    raise SystemExit(0)


def _serve(daemon: Daemon, settings: Settings, listener: socket.socket) -> None:
    failures: list[OrchError] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tcp = _tcp_api(app, daemon, settings)
        close_traces = _trace(daemon, settings)
        try:
            if tcp is not None:
                await tcp.start()
            await daemon.start()
        except OrchError as exc:
            failures.append(exc)
            server.should_exit = True
        try:
            yield
        finally:
            if tcp is not None:
                await tcp.close()
            metrics.lag.close()
            await daemon.close()
            await close_traces()

    counts: RequestCounts = Counter()
    metrics = Metrics(daemon.parts, counts)
    app = make_api(
        daemon.service,
        vault=daemon.vault,
        retention=daemon.retention,
        tokens=daemon.tokens,
        audit=daemon.audit,
        metrics=metrics.text,
        counts=counts,
        policies=daemon.policies.placed,
        make_lookup=lambda: HostLookup(settings.proxy_dns),
        retries=daemon.retries,
        lifespan=lifespan,
    )
    config = uvicorn.Config(
        app,
        http=PeerProtocol,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=2,
    )
    server = SleepingServer(config)
    AppStatus.enable_automatic_graceful_drain = False  # a stream ends with its run, not in the middle of it
    _announce(server, daemon, settings)
    server.on_end = app.state.waits.end
    with listener:
        server.run(sockets=[listener])
    if failures:
        raise failures[0]


def _announce(server: SleepingServer, daemon: Daemon, settings: Settings) -> None:
    """Tell the service manager of the server's beginning and end, and stop in order at a signal."""
    notifier = Notifier(settings.notify_socket)
    stopping: list[Stopping] = []

    def end() -> None:
        server.should_exit = True

    def tell() -> None:
        notifier.stopping("runs end", takes_s=settings.stop_s + END_S)

    def ask() -> None:
        if not stopping:
            stopping.append(Stopping(daemon.service, patience_s=settings.stop_s, on_begin=tell, on_idle=end))
        stopping[0].ask()

    server.on_serving = lambda: notifier.ready(f"serves on {settings.api_socket}")
    server.on_signal = ask


def _trace(daemon: Daemon, settings: Settings) -> Callable[[], Awaitable[None]]:
    """Send traces of runs where a collector is named; what ends that."""
    if not settings.has_traces:
        return lambda: asyncio.sleep(0)
    from runtime.daemon.tracing import Tracing  # noqa: PLC0415 - a daemon without a collector goes without the SDK

    tracing = Tracing()
    daemon.service.records.on_end = tracing.export
    return tracing.close


def _tcp_api(app: FastAPI, daemon: Daemon, settings: Settings) -> TcpApi | None:
    if settings.listen is None:
        return None
    most = min(MAX_CONNECTIONS, raise_file_limit() // SHARE)
    return TcpApi(app, settings, settings.listen, Doorkeeper(daemon.is_sandboxed, most=most))


def _bind(path: Path) -> socket.socket:
    """The API's socket: only its owner may connect, from the first moment on."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        sock.bind(str(path))
    except OSError as exc:
        sock.close()
        raise NotReadyError(
            f"{path}: {exc.strerror or exc}", hint="set ORCHBOX_RUN_DIR to a shorter, writable path"
        ) from exc
    finally:
        os.umask(previous)
    return sock
