"""The daemon's end of the proxy's control socket (`proxy.control.server` holds the protocol).

Connects and reconnects; hands over the interception CA, made here in memory and never on a disk; a
grant counts as given only once the proxy has acknowledged its revision.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from proxy.contract.grant import Grant
from runtime.egress.ca import make_ca
from runtime.errors import InvalidInputError, NotReadyError

RECONNECT_S = 0.2
ANSWER_TIMEOUT_S = 5.0
MAX_LINE_BYTES = 4 << 20


class ProxyLink:
    """Keeps one connection to the proxy; loses every grant with it."""

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path
        self._ca = make_ca()
        self._task: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._connected = asyncio.Event()
        self._is_closing = False
        self._waiting: dict[tuple[str, object], asyncio.Future[None]] = {}
        self._log = structlog.get_logger()
        self.on_decision: Callable[[dict[str, Any]], None] = lambda _line: None
        """Called with every decision line; it holds `sandbox_id`."""
        self.on_lost: Callable[[], None] = lambda: None
        """Called when the connection, and with it every grant, is gone."""

    @property
    def is_connected(self) -> bool:
        """Whether a proxy enforces what it is told."""
        return self._connected.is_set()

    @property
    def ca_pem(self) -> str:
        """The public certificate that sandboxes trust."""
        return self._ca.cert_pem

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

    async def wait_connected(self, timeout_s: float) -> None:
        """Raises NotReadyError when no proxy answers in time."""
        try:
            await asyncio.wait_for(self._connected.wait(), timeout_s)
        except TimeoutError:
            raise NotReadyError(
                "the egress proxy does not answer on its control socket", hint="orch doctor"
            ) from None

    async def grant(self, grant: Grant) -> None:
        """Give a grant; returns once the proxy enforces it.

        Raises NotReadyError without a proxy, InvalidInputError where the proxy cannot enforce it.
        """
        await self._ask({"op": "grant", "grant": grant.to_wire()}, (grant.sandbox_id, grant.revision))

    async def revoke(self, sandbox_id: str) -> None:
        """Take the grant back and cut the sandbox's connections. Without a proxy there is no grant."""
        if self.is_connected:
            with contextlib.suppress(NotReadyError):
                await self._ask({"op": "revoke", "sandbox_id": sandbox_id}, (sandbox_id, "revoked"))

    async def _ask(self, message: dict[str, Any], key: tuple[str, object]) -> None:
        if not self.is_connected:
            raise NotReadyError("the egress proxy is not connected", hint="orch doctor")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        try:
            self._send(message)
            await asyncio.wait_for(future, ANSWER_TIMEOUT_S)
        except TimeoutError:
            raise NotReadyError("the egress proxy did not acknowledge in time", hint="orch doctor") from None
        finally:
            self._waiting.pop(key, None)

    def _send(self, message: dict[str, Any]) -> None:
        if self._writer is None:
            raise NotReadyError("the egress proxy is not connected", hint="orch doctor")
        self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def _keep_connected(self) -> None:
        while True:
            with contextlib.suppress(OSError, ValueError):
                await self._serve_connection()
            await asyncio.sleep(RECONNECT_S)

    async def _serve_connection(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=MAX_LINE_BYTES)
        self._writer = writer
        try:
            while line := await reader.readline():
                self._handle(json.loads(line))
        finally:
            writer.close()
            was_connected = self.is_connected
            self._writer = None
            self._connected.clear()
            for future in list(self._waiting.values()):
                if not future.done():
                    future.set_exception(NotReadyError("the egress proxy went away", hint="orch doctor"))
            if was_connected and not self._is_closing:
                self._log.error("proxy-lost")
                self.on_lost()

    def _handle(self, message: dict[str, Any]) -> None:
        match message["event"]:
            case "ready":
                self._send({"op": "hello", "ca_cert_pem": self._ca.cert_pem, "ca_key_pem": self._ca.key_pem})
                self._connected.set()
            case "applied":
                self._settle((message["sandbox_id"], message["revision"]), None)
            case "refused":
                error = InvalidInputError(f"the proxy cannot enforce this policy: {message['error']}")
                self._settle((message["sandbox_id"], message["revision"]), error)
            case "revoked":
                self._settle((message["sandbox_id"], "revoked"), None)
            case "decision":
                self.on_decision(message["decision"])

    def _settle(self, key: tuple[str, object], error: Exception | None) -> None:
        future = self._waiting.get(key)
        if future is None or future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
