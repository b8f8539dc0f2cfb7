"""What all hooks share: the grants, the sessions, the audit, the one way to a checked address."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from proxy.admission.grants import GrantRegistry
from proxy.admission.meters import NO_BYTES_LEFT, Meter, Meters
from proxy.admission.session import ENTRIES, UNKNOWN_ORIGIN, Entry, Origin, Session
from proxy.contract.decision_line import decision_line
from proxy.contract.grant import Grant
from proxy.control.audit import Audit
from proxy.destination.judge import Judged
from proxy.destination.resolve import Lookup, NotDialableError, lookup_ipv4, vetted_address
from proxy.policy.limits import MAX_TOLD_BYTES, limits_of
from proxy.policy.llm import LLM_HOST, has_llm
from proxy.policy.model import Decision, Policy, Verdict
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import EXPIRED, NO_GRANT, RefusedError, deny

NO_LLM = deny(
    ReasonCode.NOT_ALLOWED_HOST, f"this agent's manifest asks for no LLM route: {LLM_HOST} is closed"
)


class SharedState:
    """One per proxy process. `ports` maps a listening port to its entry (tests use other ports)."""

    def __init__(
        self,
        grants: GrantRegistry,
        audit: Audit,
        *,
        lookup: Lookup = lookup_ipv4,
        ports: dict[int, Entry] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.grants = grants
        self.meters = Meters(clock)
        self.sessions: dict[str, Session] = {}
        self._audit = audit
        self._lookup = lookup
        self._ports = ports or ENTRIES
        self.llm_port: int | None = None
        """Of the relay to the LLM router, on loopback; None where there is none."""
        self.abort: Callable[[str], None] = _no_abort
        """Cuts a client connection by id; the master sets it."""
        self.close_client: Callable[[str], None] = _no_abort
        """Closes the sockets of a client connection that has ended; the master sets it."""
        self.meter_client: Callable[[str, Session], None] = _no_meter
        """Lets a client connection's bytes pass `take_bytes` only; the master sets it."""

    def drop_sandbox(self, sandbox_id: str) -> None:
        """Cut every connection of a sandbox whose grant is gone, and forget what it spent."""
        for client_id in [i for i, s in self.sessions.items() if s.sandbox_id == sandbox_id]:
            self.abort(client_id)
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
        grant = self._grant(session)
        if session.meter.take_bytes(limits_of(grant.policy.budgets), out=out, into=into):
            return True
        host, port = session.tunnel or ("", 0)
        self._record(grant, session.origin, Judged(host, port, NO_BYTES_LEFT))
        return False

    def _cut(self, client_id: str, session: Session, decision: Decision | None) -> None:
        session.settle()
        self.abort(client_id)
        if decision is not None and session.refusal is None:
            host, port = session.tunnel or ("", 0)
            grant = self.grants.current(session.sandbox_id)
            self._record(grant, session.origin, Judged(host, port, decision), sandbox_id=session.sandbox_id)

    def _report(self, sandbox_id: str | None, meter: Meter, *, is_last: bool = False) -> None:
        """One line a reason for the refusals that were counted only."""
        for reason, count in meter.take_suppressed(self.meters.clock(), is_last=is_last).items():
            judged = Judged("", 0, deny(reason, f"{count} refusals came too fast to be written one by one"))
            grant = self.grants.current(sandbox_id) if sandbox_id else None
            self._record(grant, UNKNOWN_ORIGIN, judged, sandbox_id=sandbox_id, suppressed=count)

    def record_refusal(self, data: object, decision: Decision) -> None:
        """The audit line of a hook that failed or met no grant."""
        client = _client_of(data)
        session = self.sessions.get(getattr(client, "id", ""))
        grant = self.grants.current(session.sandbox_id) if session else None
        request = getattr(data, "request", None)
        host, port = getattr(request, "host", ""), getattr(request, "port", 0)
        origin = session.origin if session else _origin(client)
        sandbox_id = session.sandbox_id if session else None
        self._record(grant, origin, Judged(str(host), int(port), decision), sandbox_id=sandbox_id)

    def _grant(self, session: Session) -> Grant:
        grant = self.grants.current(session.sandbox_id)
        if grant is None:
            raise RefusedError(EXPIRED if session.sandbox_id in self.grants.expired() else NO_GRANT)
        return grant

    async def _vet(self, session: Session, policy: Policy, host: str, port: int) -> Decision | None:
        """Resolve and check once per connection and destination; the failure, if any."""
        if host == LLM_HOST:  # a name of ours: never looked up, and open to whom the daemon opened it
            return None if has_llm(policy) and self.llm_port else NO_LLM
        if (host, port) in session.pins:
            return None
        try:
            own = self.grants.proxy_addresses()
            session.pins[host, port] = await vetted_address(
                policy, host, own_addresses=own, lookup=self._lookup
            )
        except NotDialableError as exc:
            return exc.decision
        return None

    def _record(  # noqa: PLR0913 - one parameter a field
        self,
        grant: Grant | None,
        origin: Origin,
        judged: Judged,
        *,
        method: str | None = None,
        path: str | None = None,
        request_id: str | None = None,
        sandbox_id: str | None = None,
        suppressed: int = 0,
    ) -> str:
        """Write the audit line, or only count a refusal that comes too fast; the request id."""
        sandbox_id = grant.sandbox_id if grant else sandbox_id
        request_id = request_id or uuid.uuid4().hex
        if judged.decision.verdict is not Verdict.ALLOW and not suppressed:
            reason = judged.decision.reason_code or ReasonCode.INTERNAL_ERROR
            if not self.meters.find(sandbox_id).take_deny_line(reason, self.meters.clock()):
                return request_id
        self._audit.record(
            decision_line(
                judged.decision,
                at=time.time(),
                sandbox_id=sandbox_id,
                policy_name=grant.policy.name if grant else None,
                entry=origin.entry.value,
                client_port=origin.client_port,
                method=method,
                host=judged.host,
                port=judged.port or None,
                path=path,
                request_id=request_id,
                suppressed=suppressed,
            )
        )
        return request_id


def _client_of(data: object) -> object:
    """The client connection that a hook's argument (a flow, a dial, a layer choice, a client) is about."""
    data = getattr(data, "context", data)
    return getattr(data, "client_conn", None) or getattr(data, "client", None) or data


def _origin(client: object) -> Origin:
    """Of a connection that has no session: one that was refused before it got one."""
    peername = getattr(client, "peername", None)
    return UNKNOWN_ORIGIN._replace(client_port=int(peername[1])) if peername else UNKNOWN_ORIGIN


def _no_meter(client_id: str, _session: Session) -> None:
    raise RuntimeError(f"no master is attached that could meter connection {client_id}")


def _no_abort(client_id: str) -> None:
    raise RuntimeError(f"no master is attached that could cut connection {client_id}")
