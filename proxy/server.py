"""Wires the proxy process: registry, hooks, master, control socket."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from proxy.admission.grants import GrantRefusedError, GrantRegistry
from proxy.admission.session import HOST_PORT, SNI_PORT, Entry
from proxy.contract.grant import Grant
from proxy.contract.messages import EXPLICIT_PORT, LLM_SOCKET
from proxy.control.audit import Audit
from proxy.control.llm_relay import LlmRelay
from proxy.control.process_log import ProcessLog
from proxy.control.server import ControlServer, sweep_forever
from proxy.destination.resolve import Lookup, lookup_ipv4
from proxy.hooks.log_mask import LogMask
from proxy.hooks.wiring import wire
from proxy.layers.tls import MemoryTlsConfig
from proxy.master import SYSTEM_ROOTS, build_master, close_listeners, run_master, trust_upstreams

DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Where the proxy listens; the defaults are the container's."""

    control_socket: Path
    scratch: Path
    """A tmpfs folder for the one file mitmproxy insists on reading: the upstream trust roots."""
    host: str = "0.0.0.0"  # noqa: S104 - the container's networks are its boundary; grants name the address
    explicit_port: int = EXPLICIT_PORT
    sni_port: int = SNI_PORT
    host_port: int = HOST_PORT
    dns_port: int = DNS_PORT


def _to_stderr(text: str) -> None:
    sys.stderr.write(text)


class ProxyServer:
    """One proxy process. Build it inside a running event loop."""

    def __init__(self, settings: ProxySettings, *, lookup: Lookup = lookup_ipv4) -> None:
        self.grants = GrantRegistry(time.monotonic)
        self.audit = Audit()
        ports = {
            settings.explicit_port: Entry.EXPLICIT,
            settings.sni_port: Entry.SNI,
            settings.host_port: Entry.HOST,
        }
        self.hooks = wire(self.grants, self.audit, lookup=lookup, ports=ports)
        self._log_mask = LogMask(self.grants, self.hooks.known)
        self.log = ProcessLog(self._log_mask, _to_stderr)
        self._tls = MemoryTlsConfig()
        self._settings = settings
        modes = [f"regular@{settings.host}:{port}" for port in ports]
        modes.append(f"dns@{settings.host}:{settings.dns_port}")
        self.master = build_master(self.hooks, self._tls, modes=modes)
        self.control = ControlServer(settings.control_socket, self.grants, self.audit, self)
        self._relay = LlmRelay(settings.control_socket.with_name(LLM_SOCKET))
        self._upstream_ca: str | None = None

    async def run(self) -> None:
        """Serve until told to stop. Raises OSError where a port or the socket cannot be had."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.master.shutdown)
        self.hooks.door.port = await self._relay.start()
        sweeper = asyncio.create_task(sweep_forever(self.sweep))
        try:
            # No control socket before there are ports: a grant that is acknowledged is one that can be used.
            with self.log.in_place():
                await run_master(self.master, self.control.start)
        finally:
            sweeper.cancel()
            await close_listeners(self.master)
            await self._relay.close()
            await self.control.close()

    def sweep(self) -> None:
        """What is done every second: expired grants, late clients, refusals to report."""
        self.log.sweep()
        self._log_mask.sweep()
        self.control.sweep()
        self.hooks.clients.sweep()

    # -- Enforcer --

    def set_ca(self, cert_pem: str, key_pem: str) -> None:
        """Issue the sandboxes' leaf certificates from this CA."""
        self._tls.set_ca(cert_pem, key_pem)

    def check(self, grant: Grant) -> None:
        """Refuse a grant that cannot be enforced as written; take over its upstream CA."""
        pem = grant.policy.upstream_ca_pem
        if pem == self._upstream_ca:
            return
        others = [g for g in self.grants.held() if g.sandbox_id != grant.sandbox_id]
        if others:
            raise GrantRefusedError(
                "upstream_ca differs from that of the running sandboxes; it is one per daemon"
            )
        roots = SYSTEM_ROOTS.read_text() if SYSTEM_ROOTS.exists() else ""
        # A new name for new content: mitmproxy caches TLS contexts by file name.
        digest = hashlib.sha256((pem or "").encode()).hexdigest()[:16]
        path = self._settings.scratch / f"roots-{digest}.pem"
        path.write_text(roots + "\n" + (pem or ""))
        trust_upstreams(self.master, path)
        self._upstream_ca = pem

    def drop_sandbox(self, sandbox_id: str) -> None:
        """Cut every connection of a sandbox."""
        self.hooks.drop_sandbox(sandbox_id)
