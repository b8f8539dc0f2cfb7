"""The client connections: whose each is, what it owes and by when, how many bytes it may still have.

Knows nothing of mitmproxy: the master hands in the sockets.
"""

from __future__ import annotations

from typing import Protocol

from proxy.admission.grants import GrantRegistry
from proxy.admission.meters import NO_BYTES_LEFT, Meter, Meters
from proxy.admission.session import UNKNOWN_ORIGIN, Session
from proxy.contract.grant import Grant
from proxy.destination.judge import Judged
from proxy.hooks.recorder import Recorder
from proxy.policy.limits import MAX_TOLD_BYTES, limits_of
from proxy.policy.model import Decision
from proxy.policy.refusal import EXPIRED, NO_GRANT, RefusedError, deny


class Sockets(Protocol):
    """What can be done to a client connection by its id; the master implements it."""

    def abort(self, client_id: str) -> None:
        """Cut the connection, whatever it is doing."""

    def close(self, client_id: str) -> None:
        """Close every socket of a connection that has ended."""

    def meter(self, client_id: str, session: Session) -> None:
        """Let the connection's bytes pass `Clients.take_bytes` only."""


class Clients:
    """The sessions of a proxy process, by the client connection's id."""

    def __init__(self, grants: GrantRegistry, meters: Meters, recorder: Recorder) -> None:
        self.grants = grants
        self.meters = meters
        self.sessions: dict[str, Session] = {}
        self.sockets: Sockets = _NoSockets()
        """Those of the master, once there is one."""
        self._recorder = recorder

    def find(self, client_id: str) -> Session | None:
        """The session of a connection; None where it was refused one, or has ended."""
        return self.sessions.get(client_id)

    def grant_of(self, session: Session) -> Grant:
        """The grant in force for this connection's sandbox. Raises RefusedError where there is none."""
        grant = self.grants.current(session.sandbox_id)
        if grant is None:
            raise RefusedError(EXPIRED if session.sandbox_id in self.grants.expired() else NO_GRANT)
        return grant

    def drop_sandbox(self, sandbox_id: str) -> None:
        """Cut every connection of a sandbox whose grant is gone, and forget what it spent."""
        for client_id in [i for i, s in self.sessions.items() if s.sandbox_id == sandbox_id]:
            self.sockets.abort(client_id)
        if (meter := self.meters.drop(sandbox_id)) is not None:
            self._report(sandbox_id, meter, is_last=True)

    def sweep(self) -> None:
        """Cut the connections whose client let its time pass; report the refusals that got no line."""
        now = self.meters.clock()
        for client_id, session in list(self.sessions.items()):
            if session.deadline is not None and now >= session.deadline.at:
                self._cut(client_id, session, session.deadline.decision)
        for sandbox_id, meter in self.meters.items():
            self._report(sandbox_id, meter)

    def take_bytes(self, session: Session, *, out: int = 0, into: int = 0) -> bool:
        """Count bytes of a connection; where it may not have them they are dropped and False is returned."""
        if out and session.deadline is not None:
            session.owe_head()
        if session.told_bytes is not None:
            session.told_bytes += out + into
            return session.told_bytes <= MAX_TOLD_BYTES
        grant = self.grant_of(session)
        if session.meter.take_bytes(limits_of(grant.policy.budgets), out=out, into=into):
            return True
        host, port = session.tunnel or ("", 0)
        self._recorder.record(grant, session.origin, Judged(host, port, NO_BYTES_LEFT))
        return False

    def _cut(self, client_id: str, session: Session, decision: Decision | None) -> None:
        session.settle()
        self.sockets.abort(client_id)
        if decision is not None and session.refusal is None:
            host, port = session.tunnel or ("", 0)
            grant = self.grants.current(session.sandbox_id)
            judged = Judged(host, port, decision)
            self._recorder.record(grant, session.origin, judged, sandbox_id=session.sandbox_id)

    def _report(self, sandbox_id: str | None, meter: Meter, *, is_last: bool = False) -> None:
        """One line a reason for the refusals that were counted only."""
        for reason, count in meter.take_suppressed(self.meters.clock(), is_last=is_last).items():
            judged = Judged("", 0, deny(reason, f"{count} refusals came too fast to be written one by one"))
            grant = self.grants.current(sandbox_id) if sandbox_id else None
            self._recorder.record(grant, UNKNOWN_ORIGIN, judged, sandbox_id=sandbox_id, suppressed=count)


class _NoSockets:
    """Before a master is attached: no connection can be refused, so none is served."""

    def abort(self, client_id: str) -> None:
        raise RuntimeError(f"no master is attached that could cut connection {client_id}")

    def close(self, client_id: str) -> None:
        raise RuntimeError(f"no master is attached that could close connection {client_id}")

    def meter(self, client_id: str, _session: Session) -> None:
        raise RuntimeError(f"no master is attached that could meter connection {client_id}")
