"""The daemon's end of one worker's control connection (`proxy.contract.messages` holds the protocol).

A worker is the proxy of one sandbox. It is handed an interception CA of its own, made here in memory and
never on a disk; a grant counts as given only once the worker has acknowledged its revision.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Self
from weakref import WeakKeyDictionary

import structlog

from proxy.contract.decision_line import DecisionLine
from proxy.contract.grant import Grant
from proxy.contract.messages import (
    MAX_LINE_BYTES,
    Applied,
    Decided,
    Event,
    Failed,
    GiveGrant,
    Hello,
    Listening,
    MessageTooLongError,
    Op,
    Open,
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

ANSWER_TIMEOUT_S = 5.0
REVOKE_TIMEOUT_S = 1.0
"""A worker that is too busy to revoke ends with the connection all the same."""
END_TIMEOUT_S = 3.0
OPENING_AT_ONCE = 4
"""The parent forks one worker after another: more at once would wait for one another in their own time."""
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
"""The turns at opening a worker; a semaphore belongs to the event loop that has waited for it."""
_REVOKED = "revoked"
"""Waited for in a revision's place."""


class WorkerLink:
    """One connection, and with it one process at the proxy; it loses every grant with it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Over a connection at whose other end a worker listens (`open_worker`, `begin`)."""
        self._reader = reader
        self._writer = writer
        self._ca = make_ca()
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False
        self._waiting: dict[tuple[str, object], asyncio.Future[None]] = {}
        self._log = structlog.get_logger()
        self.on_decision: Callable[[DecisionLine], None] = lambda _line: None
        """Called with every decision line."""
        self.on_lost: Callable[[], None] = lambda: None
        """Called when the worker, and with it every grant, is gone."""

    @property
    def ca_pem(self) -> str:
        """The public certificate that the sandbox trusts."""
        return self._ca.cert_pem

    @property
    def is_alive(self) -> bool:
        """Whether the worker enforces what it is told."""
        return self._task is not None and not self._task.done()

    async def begin(self) -> Self:
        """Wait until the worker listens, and hand it its CA. Raises NotReadyError with the proxy's words."""
        first = await _next(self._reader)
        if isinstance(first, Failed):
            raise NotReadyError(f"the egress proxy has no process for the sandbox: {first.error}")
        if not isinstance(first, Listening):
            raise NotReadyError("the egress proxy did not answer as it should", hint="orch doctor")
        self._writer.write(encode(Hello(self._ca.cert_pem, self._ca.key_pem)))
        self._task = asyncio.create_task(self._read())
        return self

    async def close(self) -> None:
        """End the connection, and wait for the worker's end: its address is free then.

        Nobody is told that it was lost.
        """
        self._is_closing = True
        if self._task is not None:
            with contextlib.suppress(OSError, RuntimeError):  # it is closed already
                self._writer.write_eof()
            _, still = await asyncio.wait((self._task,), timeout=END_TIMEOUT_S)
            if still:
                self._log.error("proxy-worker-not-ended")
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()

    async def grant(self, grant: Grant) -> None:
        """Give a grant; returns once the worker enforces it.

        Raises NotReadyError without a worker, InvalidInputError where it cannot be enforced.
        """
        await self._ask(GiveGrant(grant.to_wire()), (grant.sandbox_id, grant.revision))

    async def revoke(self, sandbox_id: str) -> None:
        """Take the grant back and cut the sandbox's connections. Without a worker there is no grant."""
        if self.is_alive:
            with contextlib.suppress(NotReadyError):
                await self._ask(Revoke(sandbox_id), (sandbox_id, _REVOKED), REVOKE_TIMEOUT_S)

    async def _ask(self, op: Op, key: tuple[str, object], timeout_s: float | None = None) -> None:
        if not self.is_alive:
            raise NotReadyError(_GONE)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        try:
            self._writer.write(encode(op))
            await asyncio.wait_for(future, timeout_s or ANSWER_TIMEOUT_S)
        except MessageTooLongError as exc:
            raise InvalidInputError(
                f"the run's policy and secrets do not fit into one grant: {exc}",
                hint="give fewer or shorter secrets, or a smaller policy",
            ) from None
        except TimeoutError:
            raise NotReadyError("the egress proxy did not acknowledge in time", hint="orch doctor") from None
        finally:
            self._waiting.pop(key, None)

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                self._handle(read_event(line))
        except OSError:  # the worker is gone
            pass
        except ProtocolError as exc:  # whoever it is, what it says is nobody's record
            self._log.error("proxy-protocol-error", error=str(exc))
        except Exception as exc:  # noqa: BLE001 - whatever it was, the worker ends with its connection
            self._log.error("proxy-connection-failed", error=type(exc).__name__)
        finally:
            self._writer.close()
            for future in list(self._waiting.values()):
                if not future.done():
                    future.set_exception(NotReadyError(_GONE))
            if not self._is_closing:
                self.on_lost()

    def _handle(self, event: Event) -> None:
        match event:
            case Applied():
                self._settle((event.sandbox_id, event.revision), None)
            case Refused():
                error = InvalidInputError(f"the proxy cannot enforce this policy: {event.error}")
                self._settle((event.sandbox_id, event.revision), error)
            case Revoked():
                self._settle((event.sandbox_id, _REVOKED), None)
            case Decided():
                self.on_decision(event.decision)
            case Ready() | Listening() | Failed():
                raise ProtocolError("a first word said twice")

    def _settle(self, key: tuple[str, object], error: Exception | None) -> None:
        future = self._waiting.get(key)
        if future is None or future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


_GONE = "the sandbox's process at the egress proxy has ended"


async def open_worker(socket_path: Path, address: str) -> WorkerLink:
    """A worker that listens on this address of the proxy's. Raises NotReadyError where there is none.

    Waits for its turn first, however long those before it take.
    """
    turns = _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(OPENING_AT_ONCE))
    try:
        # The limit begins with the turn: those who wait must not use up their time behind others.
        async with turns, asyncio.timeout(ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(socket_path, limit=MAX_LINE_BYTES)
            try:
                return await _opened(reader, writer, address)
            except BaseException:
                writer.close()
                raise
    except (TimeoutError, OSError, ProtocolError):
        raise NotReadyError(
            "the egress proxy made no process for the sandbox in time", hint="orch doctor"
        ) from None


async def _opened(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> WorkerLink:
    if not isinstance(await _next(reader), Ready):
        raise ProtocolError("not a parent")
    writer.write(encode(Open(address)))
    return await WorkerLink(reader, writer).begin()


async def _next(reader: asyncio.StreamReader) -> Event:
    line = await reader.readline()
    if not line:
        raise NotReadyError("the egress proxy closed the connection", hint="orch doctor")
    return read_event(line)
