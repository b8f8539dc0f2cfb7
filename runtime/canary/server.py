"""One simulator process: HTTPS, HTTP, DNS, canaries, the packet watch and the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from runtime.canary.certificates import Authority
from runtime.canary.control import build_control
from runtime.canary.dns import serve_dns
from runtime.canary.packets import watch_packets
from runtime.canary.seen import Hello
from runtime.canary.sockets import bind_udp, listen, serve_canary, serve_udp_canary
from runtime.canary.world import World

Endpoint = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where one simulator process listens and what it writes."""

    control: Path
    ca: Path
    https: tuple[Endpoint, ...] = ()
    http: tuple[Endpoint, ...] = ()
    dns: tuple[Endpoint, ...] = ()
    canaries: tuple[Endpoint, ...] = ()
    udp_canaries: tuple[Endpoint, ...] = ()
    watch: str | None = None
    """The interface whose packets are recorded."""
    zone: dict[str, list[list[str]]] = field(default_factory=dict)


class _QuietServer(uvicorn.Server):
    """A server among several in one loop: signals are the process's business, not its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Simulator:
    """Serves until SIGTERM or SIGINT."""

    def __init__(self, listeners: Listeners, build_app: Callable[[World], ASGIApp]) -> None:
        self._listeners = listeners
        self._build_app = build_app
        self._authority = Authority()
        self._servers: list[_QuietServer] = []
        self.world = World()
        self.world.zone.names.update(listeners.zone)

    async def run(self) -> None:
        """Bind everything, write the CA's certificate, serve."""
        places, world, app = self._listeners, self.world, self._build_app(self.world)
        watcher = watch_packets(world, places.watch) if places.watch else None
        places.ca.write_text(self._authority.pem)
        for endpoint in places.dns:
            await serve_dns(world, bind_udp(*endpoint), listen(world, *endpoint))
        for endpoint in places.canaries:
            await serve_canary(listen(world, *endpoint))
        for endpoint in places.udp_canaries:
            await serve_udp_canary(bind_udp(*endpoint))
        tls = self._authority.server_context(self._on_hello)
        control = build_control(world, is_ready=self._is_ready)
        jobs = [
            self._serve(app, [listen(world, *e) for e in places.https], tls),
            self._serve(app, [listen(world, *e) for e in places.http], None),
            self._serve(control, [_control_socket(places.control)], None),
        ]
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        await asyncio.gather(*jobs)
        if watcher is not None:
            loop.remove_reader(watcher)
            watcher.close()

    async def _serve(self, app: Any, sockets: list[socket.socket], tls: ssl.SSLContext | None) -> None:
        if not sockets:
            return
        config = uvicorn.Config(
            app,
            http=self._protocol(),
            ws="websockets-sansio",
            loop="asyncio",
            lifespan="off",
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            ws_max_size=64 << 20,
            ssl_context_factory=(lambda *_: tls) if tls is not None else None,
        )
        server = _QuietServer(config)
        self._servers.append(server)
        await server.serve(sockets=sockets)

    def _protocol(self) -> type[asyncio.Protocol]:
        names = self.world.sni_by_connection

        class NamedConnections(H11Protocol):
            """Keeps the connection's SNI where the recorder finds it."""

            def connection_made(self, transport: Any) -> None:
                tls = transport.get_extra_info("ssl_object")
                peer = transport.get_extra_info("peername")
                if peer:
                    names[tuple(peer[:2])] = getattr(tls, "hello_name", None)
                super().connection_made(transport)

        return NamedConnections

    def _on_hello(self, connection: ssl.SSLObject, sni: str | None) -> None:
        connection.__dict__["hello_name"] = sni
        self.world.seen.hellos.append(Hello(self.world.now(), sni))

    def _is_ready(self) -> bool:
        return all(server.started for server in self._servers)

    def _stop(self) -> None:
        for server in self._servers:
            server.should_exit = True


def _control_socket(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    control.bind(str(path))
    path.chmod(0o666)  # its directory is private to the user who runs the tests
    control.listen(16)
    control.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return control
