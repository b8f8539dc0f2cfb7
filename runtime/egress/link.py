"""The daemon's end of the proxy's control socket (`proxy.contract.messages` holds the protocol).

Connects and reconnects; hands over the interception CA, made here in memory and never on a disk; a
grant counts as given only once the proxy has acknowledged its revision.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import structlog

from proxy.contract.decision_line import DecisionLine
from proxy.contract.grant import Grant
from proxy.contract.messages import (
    MAX_LINE_BYTES,
    Applied,
    Decided,
    Event,
    GiveGrant,
    Hello,
    MessageTooLongError,
    Op,
    ProtocolError,
    Ready,
    Refused,
    Revoke,
    Revoked,
    encode,
    read_event,
)
from runtime.egress.ca import make_ca
from runtime.errors import InvalidInputError, NotReadyError

RECONNECT_S = 0.2
ANSWER_TIMEOUT_S = 5.0
_REVOKED = "revoked"
"""Waited for in a revision's place."""


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
        self.on_decision: Callable[[DecisionLine], None] = lambda _line: None
        """Called with every decision line."""
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
        await self._ask(GiveGrant(grant.to_wire()), (grant.sandbox_id, grant.revision))

    async def revoke(self, sandbox_id: str) -> None:
        """Take the grant back and cut the sandbox's connections. Without a proxy there is no grant."""
        if self.is_connected:
            with contextlib.suppress(NotReadyError):
                await self._ask(Revoke(sandbox_id), (sandbox_id, _REVOKED))

    async def _ask(self, op: Op, key: tuple[str, object]) -> None:
        if not self.is_connected:
            raise NotReadyError("the egress proxy is not connected", hint="orch doctor")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        try:
            self._send(op)
            await asyncio.wait_for(future, ANSWER_TIMEOUT_S)
        except MessageTooLongError as exc:
            raise InvalidInputError(
                f"the run's policy and secrets do not fit into one grant: {exc}",
                hint="give fewer or shorter secrets, or a smaller policy",
            ) from None
        except TimeoutError:
            raise NotReadyError("the egress proxy did not acknowledge in time", hint="orch doctor") from None
        finally:
            self._waiting.pop(key, None)

    def _send(self, op: Op) -> None:
        if self._writer is None:
            raise NotReadyError("the egress proxy is not connected", hint="orch doctor")
        self._writer.write(encode(op))

    async def _keep_connected(self) -> None:
        while True:
            try:
                await self._serve_connection()
            except OSError:  # nobody listens yet, or the connection broke
                pass
            except Exception as exc:  # noqa: BLE001 - whatever it was, the next connection starts anew
                self._log.error("proxy-connection-failed", error=type(exc).__name__)
            await asyncio.sleep(RECONNECT_S)

    async def _serve_connection(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=MAX_LINE_BYTES)
        self._writer = writer
        try:
            while line := await reader.readline():
                self._handle(read_event(line))
        except ProtocolError as exc:  # whoever it is, what it says is nobody's record: start anew
            self._log.error("proxy-protocol-error", error=str(exc))
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

    def _handle(self, event: Event) -> None:
        match event:
            case Ready():
                self._send(Hello(self._ca.cert_pem, self._ca.key_pem))
                self._connected.set()
            case Applied():
                self._settle((event.sandbox_id, event.revision), None)
            case Refused():
                error = InvalidInputError(f"the proxy cannot enforce this policy: {event.error}")
                self._settle((event.sandbox_id, event.revision), error)
            case Revoked():
                self._settle((event.sandbox_id, _REVOKED), None)
            case Decided():
                self.on_decision(event.decision)

    def _settle(self, key: tuple[str, object], error: Exception | None) -> None:
        future = self._waiting.get(key)
        if future is None or future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
