"""The daemon's end of the proxy: its parent is watched. Each run's keeper has a worker of its own there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from proxy.contract.messages import MAX_LINE_BYTES, ProtocolError, Ready, read_event
from runtime.egress.worker_link import open_worker
from runtime.errors import NotReadyError

RECONNECT_S = 0.2


class ProxyLink:
    """Keeps one connection to the parent."""

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path
        self._task: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self._is_closing = False
        self._log = structlog.get_logger()
        self.on_lost: Callable[[], None] = lambda: None
        """Called when the parent is gone: no sandbox has a way out any more."""

    @property
    def is_connected(self) -> bool:
        """Whether there is a proxy."""
        return self._connected.is_set()

    async def start(self) -> None:
        """Begin to connect, in the background."""
        self._task = asyncio.create_task(self._keep_connected())

    async def close(self) -> None:
        """Stop; nobody is told that the proxy was lost."""
        self._is_closing = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def wait_connected(self, timeout_s: float) -> None:
        """Raises NotReadyError when no proxy answers in time."""
        try:
            await asyncio.wait_for(self._connected.wait(), timeout_s)
        except TimeoutError:
            raise NotReadyError(
                "the egress proxy does not answer on its control socket", hint="orch doctor"
            ) from None

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
