"""Our own mitmproxy master: the listeners, the fewest addons, and options asserted to be safe."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from mitmproxy import options
from mitmproxy.addons import core, proxyserver
from mitmproxy.master import Master

from proxy.admission.session import Session
from proxy.hooks.wiring import Hooks
from proxy.layers.meter import Gate, MeteredLayer
from proxy.layers.tls import MemoryTlsConfig

SYSTEM_ROOTS = Path("/etc/ssl/certs/ca-certificates.crt")

REQUIRED_OPTIONS: dict[str, Any] = {
    "add_upstream_certs_to_client_chain": False,
    "allow_hosts": [],
    "body_size_limit": None,  # would apply to streamed bodies too
    "certs": [],
    "client_certs": None,
    "connection_strategy": "lazy",
    "http2": True,
    "http3": False,
    "ignore_hosts": [],
    "keep_host_header": True,
    "rawtcp": False,
    "ssl_insecure": False,
    "store_streamed_bodies": False,
    "tcp_hosts": [],
    "udp_hosts": [],
    "upstream_cert": False,
    "validate_inbound_headers": True,
    "websocket": True,
}
"""Every option of mitmproxy 12.2 that could open a way out or hold a body, with the value it must have."""

FORBIDDEN_OPTIONS = ("emudhra", "emudhra_old")
"""12.3 signs leaf certificates with a public CA's leaked key when these are set."""


class UnsafeOptionError(RuntimeError):
    """An option of mitmproxy has not the value that containment rests on; the proxy does not start."""


def assert_safe_options(opts: options.Options) -> None:
    """Raise UnsafeOptionError naming the first option that is not as REQUIRED_OPTIONS says."""
    for name, required in REQUIRED_OPTIONS.items():
        value: Any = getattr(opts, name, _MISSING)
        if value is _MISSING:
            raise UnsafeOptionError(f"mitmproxy option {name} does not exist: unsupported mitmproxy release")
        if (list(value) if isinstance(required, list) else value) != required:
            raise UnsafeOptionError(f"mitmproxy option {name} is {value!r}, it must be {required!r}")
    for name in FORBIDDEN_OPTIONS:
        if getattr(opts, name, None):
            raise UnsafeOptionError(f"mitmproxy option {name} must never be set")


def build_master(hooks: Hooks, tls: MemoryTlsConfig, *, modes: list[str]) -> Master:
    """A master that listens on `modes` once `run()` is awaited. Call it inside a running event loop.

    No configuration file is ever read: `optmanager.load_paths` is mitmdump's doing, not ours.
    """
    master = Master(options.Options())
    server = proxyserver.Proxyserver()
    # No order among ours: no hook is in two of them (pinned by test_no_hook_is_in_two_addons). Proxyserver's
    # own `server_connect` can only refuse a dial, which none of ours takes back.
    master.addons.add(core.Core(), server, *hooks.addons, tls)
    master.options.update(mode=modes, **REQUIRED_OPTIONS)
    if SYSTEM_ROOTS.exists():
        trust_upstreams(master, SYSTEM_ROOTS)
    assert_safe_options(master.options)
    hooks.clients.sockets = ClientSockets(server, hooks.clients)
    return master


def trust_upstreams(master: Master, roots: Path) -> None:
    """Verify upstreams against the certificates in this file."""
    master.options.update(ssl_verify_upstream_trusted_ca=str(roots))


async def run_master(master: Master, on_listening: Callable[[], Awaitable[None]]) -> None:
    """Serve until the master is shut down; `on_listening` is awaited once every port of every mode listens.

    mitmproxy 12.2 logs a port that cannot be had and goes on without it; here it is an OSError.
    """
    server: proxyserver.Proxyserver = master.addons.get("proxyserver")
    started = _Started()
    master.addons.add(started)
    running = asyncio.create_task(master.run())
    waiting = asyncio.create_task(started.event.wait())
    try:
        await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
        if started.event.is_set():  # else it was shut down before
            for instance in server.servers:
                if not instance.is_running:
                    why = reason_of(instance.last_exception)
                    raise OSError(f"cannot listen on {instance.mode.full_spec}: {why}")
            await on_listening()
        await running
    finally:
        waiting.cancel()
        master.shutdown()
        await asyncio.wait((running,))


def reason_of(error: Exception | None) -> str:
    """The kernel's words: mitmproxy wraps them in its own and asyncio's, number and all."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number else str(error)


class _Started:
    """Tells that mitmproxy has tried to open all its listeners."""

    name = "orchbox-started"

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def running(self) -> None:
        """The hook that mitmproxy calls behind the start of the listeners."""
        self.event.set()


async def close_listeners(master: Master) -> None:
    """Stop listening; mitmproxy 12.2 leaves that to the end of the process."""
    await master.addons.get("proxyserver").servers.update([])


class ClientSockets:
    """What the hooks may do to a client connection, by its id."""

    def __init__(self, server: proxyserver.Proxyserver, gate: Gate) -> None:
        self._server = server
        self._gate = gate

    def abort(self, client_id: str) -> None:
        """Cut one client connection, whatever it is doing."""
        handler = self._server.connections.get(client_id)
        if handler is None:
            return
        transport = handler.transports.get(handler.client)
        if transport is not None and transport.handler is not None:
            transport.handler.cancel("refused")

    def close(self, client_id: str) -> None:
        """Close every socket of a connection that has ended.

        mitmproxy 12.2 leaves one open for good when it is told to close it while its reader waits for its
        turn (`handle_connection` is then cancelled outside its `try`).
        """
        handler = self._server.connections.get(client_id)
        for transport in list(handler.transports.values()) if handler is not None else []:
            if transport.writer is not None:
                transport.writer.close()

    def meter(self, client_id: str, session: Session) -> None:
        """Put the meter around a connection that has said nothing yet."""
        handler = self._server.connections[client_id]
        metered = MeteredLayer(handler.layer, session, self._gate)
        drain = handler.drain_writers

        async def drain_and_wait() -> None:
            """What mitmproxy awaits between two reads, in the task of the connection that is read."""
            await drain()
            transport = handler.transports.get(handler.client)
            is_client = transport is not None and transport.handler is asyncio.current_task()
            await metered.wait_for_room(is_client=is_client)

        handler.layer = metered  # type: ignore[assignment]
        handler.drain_writers = drain_and_wait  # type: ignore[method-assign]


_MISSING = object()
