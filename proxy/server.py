"""Wires a worker, the proxy of one sandbox: registry, hooks, master, control connection."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from proxy.admission.grants import GrantRefusedError, GrantRegistry
from proxy.admission.session import HOST_PORT, SNI_PORT, Entry
from proxy.contract.grant import Grant
from proxy.contract.messages import EXPLICIT_PORT
from proxy.control.audit import Audit
from proxy.control.llm_relay import LlmRelay
from proxy.control.process_log import ProcessLog
from proxy.control.server import ControlConnection, sweep_forever
from proxy.destination.resolve import Lookup
from proxy.destination.stub import resolver_of_this_host
from proxy.hooks.datagrams import Datagrams
from proxy.hooks.log_mask import LogMask
from proxy.hooks.wiring import wire
from proxy.layers.tls import MemoryTlsConfig
from proxy.master import SYSTEM_ROOTS, build_master, close_listeners, reason_of, run_master, trust_upstreams

DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Where the proxy listens; the defaults are the container's."""

    host: str
    """The proxy's address on the sandbox's network; it listens nowhere else."""
    llm_socket: Path
    """Where the daemon's LLM router listens."""
    scratch: Path
    """A tmpfs folder for the one file mitmproxy insists on reading: the upstream trust roots."""
    explicit_port: int = EXPLICIT_PORT
    sni_port: int = SNI_PORT
    host_port: int = HOST_PORT
    dns_port: int = DNS_PORT


def _to_stderr(text: str) -> None:
    sys.stderr.write(text)


class ProxyServer:
    """The proxy of one sandbox. Build it inside a running event loop."""

    def __init__(self, settings: ProxySettings, *, lookup: Lookup | None = None) -> None:
        """Without a `lookup`, the container's name servers are asked."""
        self.grants = GrantRegistry(time.monotonic)
        self.audit = Audit()
        ports = {
            settings.explicit_port: Entry.EXPLICIT,
            settings.sni_port: Entry.SNI,
            settings.host_port: Entry.HOST,
        }
        self.hooks = wire(
            self.grants, self.audit, lookup=lookup or resolver_of_this_host(time.monotonic), ports=ports
        )
        self._log_mask = LogMask(self.grants, self.hooks.known)
        self.log = ProcessLog(self._log_mask, _to_stderr)
        self._tls = MemoryTlsConfig()
        self._settings = settings
        modes = [f"regular@{settings.host}:{port}" for port in ports]
        self._names = f"names@{settings.host}:{settings.dns_port}"
        modes.append(self._names)
        self.master = build_master(self.hooks, self._tls, modes=modes)
        self.control = ControlConnection(self.grants, self.audit, self)
        self._relay = LlmRelay(settings.llm_socket)
        self._upstream_ca: str | None = None

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve until this connection of the daemon's ends. Raises OSError where a port cannot be had."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.shutdown)
        self.hooks.door.port = await self._relay.start()
        sweeper = asyncio.create_task(sweep_forever(self.sweep))
        serving: list[asyncio.Task[None]] = []
        listening: list[asyncio.DatagramTransport] = []

        async def on_listening() -> None:
            listening.append(await self._listen_for_datagrams())
            task = asyncio.create_task(self.control.serve(reader, writer))
            task.add_done_callback(lambda _task: self.shutdown())
            serving.append(task)

        try:
            # Nothing is said to the daemon before there are ports: a grant that is acknowledged can be used.
            with self.log.in_place():
                await run_master(self.master, on_listening)
        finally:
            sweeper.cancel()
            for transport in listening:
                transport.close()
            self.control.close()
            await asyncio.gather(*serving, return_exceptions=True)
            await close_listeners(self.master)
            await self._relay.close()

    async def _listen_for_datagrams(self) -> asyncio.DatagramTransport:
        """The sink's other port. Raises OSError where it cannot be had."""
        hooks, where = self.hooks, (self._settings.host, self._settings.dns_port)
        try:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: Datagrams(hooks.connections, hooks.dns, mode=self._names), local_addr=where
            )
        except OSError as exc:
            raise OSError(f"cannot listen on {self._names} for datagrams: {reason_of(exc)}") from exc
        return transport

    def shutdown(self) -> None:
        """Let `run` come to its end."""
        self.master.shutdown()  # type: ignore[no-untyped-call]

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
        if grant.proxy_address != self._settings.host:
            raise GrantRefusedError("the grant is for another network than this process listens on")
        if any(held.sandbox_id != grant.sandbox_id for held in self.grants.held()):
            raise GrantRefusedError("this process is another sandbox's")
        pem = grant.policy.upstream_ca_pem
        if pem == self._upstream_ca:
            return
        # A new name for new content: mitmproxy caches TLS contexts by file name. Workers share the folder, so
        # the file is complete when it gets its name.
        digest = hashlib.sha256((pem or "").encode()).hexdigest()[:16]
        path = self._settings.scratch / f"roots-{digest}.pem"
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        if SYSTEM_ROOTS.exists():  # copied by the kernel: read here, it would stay in the worker's heap
            shutil.copyfile(SYSTEM_ROOTS, draft)
        with draft.open("a") as file:
            file.write("\n" + (pem or ""))
        draft.rename(path)
        trust_upstreams(self.master, path)
        self._upstream_ca = pem

    def drop_sandbox(self, sandbox_id: str) -> None:
        """Cut every connection of a sandbox."""
        self.hooks.drop_sandbox(sandbox_id)
