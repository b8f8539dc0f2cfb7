"""What all hooks share: the grants, the sessions, the audit, the one way to a checked address."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from proxy.audit import Audit, decision_line
from proxy.grants import GrantRegistry
from proxy.judge import EXPIRED, NO_GRANT, Judged, RefusedError
from proxy.policy.grant import Grant
from proxy.policy.model import Decision, Policy
from proxy.resolve import Lookup, NotDialableError, lookup_ipv4, vetted_address
from proxy.session import UNKNOWN_ORIGIN, Entry, Origin, Session

EXPLICIT_PORT = 8080
SNI_PORT = 443
HOST_PORT = 80
_ENTRIES = {EXPLICIT_PORT: Entry.EXPLICIT, SNI_PORT: Entry.SNI, HOST_PORT: Entry.HOST}


class SharedState:
    """One per proxy process. `ports` maps a listening port to its entry (tests use other ports)."""

    def __init__(
        self,
        grants: GrantRegistry,
        audit: Audit,
        *,
        lookup: Lookup = lookup_ipv4,
        ports: dict[int, Entry] | None = None,
    ) -> None:
        self.grants = grants
        self.sessions: dict[str, Session] = {}
        self._audit = audit
        self._lookup = lookup
        self._ports = ports or _ENTRIES
        self.abort: Callable[[str], None] = _no_abort
        """Cuts a client connection by id; the master sets it."""

    def drop_sandbox(self, sandbox_id: str) -> None:
        """Cut every connection of a sandbox whose grant is gone."""
        for client_id in [i for i, s in self.sessions.items() if s.sandbox_id == sandbox_id]:
            self.abort(client_id)

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

    def _record(
        self,
        grant: Grant | None,
        origin: Origin,
        judged: Judged,
        *,
        method: str | None = None,
        path: str | None = None,
        request_id: str | None = None,
        sandbox_id: str | None = None,
    ) -> str:
        request_id = request_id or uuid.uuid4().hex
        self._audit.record(
            decision_line(
                judged.decision,
                sandbox_id=grant.sandbox_id if grant else sandbox_id,
                policy_name=grant.policy.name if grant else None,
                entry=origin.entry.value,
                client_port=origin.client_port,
                method=method,
                host=judged.host,
                port=judged.port or None,
                path=path,
                request_id=request_id,
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


def _no_abort(client_id: str) -> None:
    raise RuntimeError(f"no master is attached that could cut connection {client_id}")
