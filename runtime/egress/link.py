"""The daemon's end of the proxy: the parent is watched, and each sandbox has a worker of its own there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from proxy.contract.decision_line import DecisionLine
from proxy.contract.grant import Grant
from proxy.contract.messages import MAX_LINE_BYTES, ProtocolError, Ready, read_event
from runtime.egress.worker_link import WorkerLink, open_worker
from runtime.errors import NotReadyError

RECONNECT_S = 0.2
FIRST_REVISION = 1
"""Of a sandbox's grant: the one that its worker is made for."""


class ProxyLink:
    """Keeps one connection to the parent, and one to the worker of each sandbox that has a grant."""

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path
        self._task: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self._is_closing = False
        self._workers: dict[str, WorkerLink] = {}
        self._log = structlog.get_logger()
        self.on_decision: Callable[[DecisionLine], None] = lambda _line: None
        """Called with every decision line."""
        self.on_lost: Callable[[], None] = lambda: None
        """Called when the parent is gone: no sandbox has a way out any more."""
        self.on_sandbox_lost: Callable[[str], None] = lambda _sandbox_id: None
        """Called with the id of a sandbox whose worker, and with it the grant, is gone."""

    @property
    def is_connected(self) -> bool:
        """Whether there is a proxy."""
        return self._connected.is_set()

    async def start(self) -> None:
        """Begin to connect, in the background."""
        self._task = asyncio.create_task(self._keep_connected())

    async def close(self) -> None:
        """Stop; the proxy drops every grant, and nobody is told that it was lost."""
        self._is_closing = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        workers = [*self._workers.values()]
        self._workers.clear()
        await asyncio.gather(*(worker.close() for worker in workers))

    async def wait_connected(self, timeout_s: float) -> None:
        """Raises NotReadyError when no proxy answers in time."""
        try:
            await asyncio.wait_for(self._connected.wait(), timeout_s)
        except TimeoutError:
            raise NotReadyError(
                "the egress proxy does not answer on its control socket", hint="orch doctor"
            ) from None

    async def grant(self, grant: Grant) -> None:
        """Give a grant, the first revision to a new worker; returns once it is enforced.

        A later revision for a sandbox without a worker is one of a run that has ended, or has lost its
        worker: it makes none. Raises NotReadyError then and without a proxy, InvalidInputError where the
        grant cannot be enforced.
        """
        worker = self._workers.get(grant.sandbox_id)
        if worker is None and grant.revision != FIRST_REVISION:
            raise NotReadyError("the sandbox has no process at the egress proxy any more")
        if worker is None:
            worker = await self._open(grant)
        await worker.grant(grant)

    async def revoke(self, sandbox_id: str) -> None:
        """Take the grant back, cut the sandbox's connections and end its worker."""
        if (worker := self._workers.pop(sandbox_id, None)) is not None:
            try:
                await worker.revoke(sandbox_id)
            finally:
                await worker.close()

    def ca_pem(self, sandbox_id: str) -> str:
        """The certificate that a sandbox with a grant trusts. Raises NotReadyError where it has none."""
        worker = self._workers.get(sandbox_id)
        if worker is None:
            raise NotReadyError("the sandbox has no process at the egress proxy", hint="orch doctor")
        return worker.ca_pem

    @asynccontextmanager
    async def listening(self, address: str) -> AsyncIterator[None]:
        """A worker without a grant on an address of the proxy's, for the guard's proof.

        Raises NotReadyError.
        """
        worker = await open_worker(self._path, address)
        try:
            yield
        finally:
            await worker.close()

    async def _open(self, grant: Grant) -> WorkerLink:
        if not self.is_connected:
            raise NotReadyError("the egress proxy is not connected", hint="orch doctor")
        worker = await open_worker(self._path, grant.proxy_address)
        if self._is_closing:
            await worker.close()
            raise NotReadyError("the egress proxy is not connected", hint="orch doctor")
        worker.on_decision = self.on_decision
        worker.on_lost = lambda: self._lose(grant.sandbox_id, worker)
        self._workers[grant.sandbox_id] = worker
        return worker

    def _lose(self, sandbox_id: str, worker: WorkerLink) -> None:
        if self._workers.get(sandbox_id) is worker:
            del self._workers[sandbox_id]
            self._log.error("proxy-worker-lost", sandbox=sandbox_id)
            self.on_sandbox_lost(sandbox_id)

    async def _keep_connected(self) -> None:
        while True:
            try:
                await self._watch_parent()
            except OSError:  # nobody listens yet, or the connection broke
                pass
            except Exception as exc:  # noqa: BLE001 - whatever it was, the next connection starts anew
                self._log.error("proxy-connection-failed", error=type(exc).__name__)
            await asyncio.sleep(RECONNECT_S)

    async def _watch_parent(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=MAX_LINE_BYTES)
        try:
            while line := await reader.readline():
                _require_ready(line)
                self._connected.set()
        except ProtocolError as exc:
            self._log.error("proxy-protocol-error", error=str(exc))
        finally:
            writer.close()
            was_connected = self.is_connected
            self._connected.clear()
            if was_connected and not self._is_closing:
                self._log.error("proxy-lost")
                self.on_lost()


def _require_ready(line: bytes) -> None:
    if not isinstance(read_event(line), Ready):
        raise ProtocolError("a parent says that it is ready and nothing else")
