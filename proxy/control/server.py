"""The control connection: grants in, acknowledgements and decisions out (`proxy.contract.messages`).

Grants live as long as the connection that gave them: when the daemon goes, nobody reads the audit, so
nothing is allowed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from proxy.admission.grants import GrantRefusedError, GrantRegistry
from proxy.contract.decision_line import DecisionLine
from proxy.contract.grant import Grant, grant_from_wire
from proxy.contract.messages import (
    Applied,
    Decided,
    Event,
    GiveGrant,
    Hello,
    Listening,
    Op,
    Open,
    ProtocolError,
    Refused,
    Revoke,
    Revoked,
    encode,
    read_op,
)
from proxy.control.audit import Audit

MAX_BACKLOG_BYTES = 8 << 20
"""Of decisions the daemon has not read; beyond it the connection, and with it every grant, is dropped."""


class Enforcer(Protocol):
    """What the control connection steers."""

    def set_ca(self, cert_pem: str, key_pem: str) -> None:
        """Issue certificates from this CA. Raises ValueError for what is none."""

    def check(self, grant: Grant) -> None:
        """Raise GrantRefusedError where the grant cannot be enforced as written."""

    def drop_sandbox(self, sandbox_id: str) -> None:
        """Cut every connection of a sandbox."""


class ControlConnection:
    """Serves the one connection of the daemon's over which this process is steered."""

    def __init__(self, grants: GrantRegistry, audit: Audit, enforcer: Enforcer) -> None:
        self._grants = grants
        self._enforcer = enforcer
        self._writer: asyncio.StreamWriter | None = None
        self._log = structlog.get_logger()
        audit.listener = self._on_decision

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Say that the ports listen, then do what is said; with the connection every grant ends."""
        self._writer = writer
        self._send(Listening())
        try:
            while line := await reader.readline():
                self._handle(read_op(line))
        except (ValueError, OSError) as exc:
            self._log.error("control-connection-failed", error=type(exc).__name__)
        finally:
            self.close()

    def close(self) -> None:
        """End the connection and drop every grant."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._drop_all()

    def sweep(self) -> None:
        """Cut the connections of sandboxes whose grant has run out."""
        for sandbox_id in self._grants.expired():
            self._enforcer.drop_sandbox(sandbox_id)

    def _handle(self, op: Op) -> None:
        match op:
            case Open():
                raise ProtocolError("this process is open already")
            case Hello():
                self._enforcer.set_ca(op.ca_cert_pem, op.ca_key_pem)
            case GiveGrant():
                self._send(self._apply(op))
            case Revoke():
                self._grants.drop(op.sandbox_id)
                self._enforcer.drop_sandbox(op.sandbox_id)
                self._send(Revoked(op.sandbox_id))

    def _apply(self, op: GiveGrant) -> Applied | Refused:
        try:
            grant = grant_from_wire(op.grant)
            self._enforcer.check(grant)
            self._grants.put(grant)
        except (GrantRefusedError, ValueError) as exc:
            return Refused(op.sandbox_id, op.revision, str(exc))
        return Applied(grant.sandbox_id, grant.revision)

    def _on_decision(self, line: DecisionLine) -> None:
        self._send(Decided(line))

    def _send(self, event: Event) -> None:
        writer = self._writer
        if writer is None or writer.is_closing():
            return
        writer.write(encode(event))
        if writer.transport.get_write_buffer_size() > MAX_BACKLOG_BYTES:
            self._log.error("control-backlog-full")
            writer.transport.abort()
            self._drop_all()

    def _drop_all(self) -> None:
        for sandbox_id in self._grants.clear():
            self._enforcer.drop_sandbox(sandbox_id)


async def sweep_forever(sweep: Callable[[], None], *, every_s: float = 1.0) -> None:
    """Run the expiry sweep until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        try:
            sweep()
        except Exception as exc:  # noqa: BLE001 - the next sweep must still come
            structlog.get_logger().error("sweep-failed", error=type(exc).__name__)
