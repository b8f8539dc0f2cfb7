"""The hooks on connections: who it is, what it speaks, what is dialled for it."""

from __future__ import annotations

from mitmproxy import connection, tls
from mitmproxy.proxy import layer, server_hooks
from mitmproxy.proxy.mode_specs import DnsMode

from proxy.admission.session import SILENT, Entry, Origin, Session
from proxy.contract.grant import Grant
from proxy.destination.judge import Judged
from proxy.hooks.clients import SharedState
from proxy.hooks.fail_closed import abort_server, fail_closed, refuse_client, refuse_dial, refuse_layer
from proxy.layers.routes import Checks, choose_layer
from proxy.policy.limits import NAME_PEER_S, SILENCE_S, limits_of
from proxy.policy.model import Decision
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import NO_GRANT, RefusedError, deny


class ConnectionHooks(SharedState):
    """From accept to close."""

    @fail_closed(refuse_client)
    def client_connected(self, client: connection.Client) -> None:
        """Identity is the network the connection came in on; without a grant it is closed at once."""
        entry = Entry.DNS if isinstance(client.proxy_mode, DnsMode) else self._ports[client.sockname[1]]
        origin = Origin(entry, int(client.peername[1]))
        grant = self.grants.find(str(client.sockname[0]), str(client.peername[0]))
        if grant is None:
            self._record(None, origin, Judged(str(client.peername[0]), client.sockname[1], NO_GRANT))
            client.error = "no grant"
            return
        session = Session(grant.sandbox_id, origin, self.meters.of(grant.sandbox_id), self.meters.clock)
        if entry is Entry.DNS:
            self._admit_name_peer(client, session)
        else:
            self._admit(client, session, grant)

    def client_disconnected(self, client: connection.Client) -> None:
        """Forget the connection."""
        session = self.sessions.pop(client.id, None)
        if session is None:
            return
        if session.entry is Entry.DNS:
            session.meter.close_name_peer()
        else:
            session.meter.close_connection()
        self.close_client(client.id)

    def _admit(self, client: connection.Client, session: Session, grant: Grant) -> None:
        admission = session.meter.open_connection(limits_of(grant.policy.budgets))
        self.sessions[client.id] = session
        session.owe(SILENT, within_s=SILENCE_S)
        if admission.refusal is not None:
            session.refusal, session.told_bytes = admission.refusal, 0
            judged = Judged(str(client.peername[0]), client.sockname[1], admission.refusal)
            session.refusal_id = self._record(grant, session.origin, judged)
            if not admission.is_told:
                client.error = admission.refusal.detail
                return
        self.meter_client(client.id, session)

    def _admit_name_peer(self, client: connection.Client, session: Session) -> None:
        admission = session.meter.open_name_peer()
        self.sessions[client.id] = session
        session.owe(None, within_s=NAME_PEER_S)
        if admission.refusal is not None:
            session.meter.suppress(ReasonCode.BUDGET_REQUESTS)
            client.error = admission.refusal.detail

    @fail_closed(refuse_layer)
    async def next_layer(self, data: layer.NextLayer) -> None:
        """Choose what speaks next; anything that is neither TLS nor HTTP ends here."""
        session = self.sessions[data.context.client.id]
        grant = self._grant(session)

        async def vet(host: str, port: int) -> Decision | None:
            return await self._vet(session, grant.policy, host, port)

        def record(judged: Judged) -> None:
            session.refusal_id = self._record(grant, session.origin, judged, method="TLS")

        def spend() -> Decision | None:
            return session.meter.take_request(limits_of(grant.policy.budgets), self.meters.clock())

        def take_name(name: str) -> Decision | None:
            return session.meter.take_name(name, self.meters.clock())

        checks = Checks(vet, record, spend, take_name)
        await choose_layer(data, session, grant.policy, checks)

    def tls_established_client(self, data: tls.TlsData) -> None:
        """The handshake came to its end in time; what is said next may wait."""
        if (session := self.sessions.get(data.context.client.id)) is not None:
            session.settle()

    @fail_closed(refuse_dial)
    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Dial only an address that was resolved and checked for this connection."""
        session = self.sessions[data.client.id]
        self._grant(session)
        address = data.server.address
        pinned = session.pins.get((address[0], address[1])) if address else None
        if address is None or pinned is None or data.server.via is not None:
            data.server.error = "destination was not checked"
            return
        if data.server.tls and data.server.sni is None:
            data.server.sni = address[0]
        data.server.address = (pinned, address[1])
        data.server.__dict__["orchbox_name"] = address

    @fail_closed(abort_server)
    def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
        """The peer must be the address that was checked; then give the connection its name back.

        mitmproxy 12.2 reuses a connection only if its address equals the request's, and refuses to set
        the address of an open one, hence `__dict__` (pinned by a test on keep-alive).
        """
        name = data.server.__dict__.pop("orchbox_name")
        peer = data.server.peername
        session = self.sessions[data.client.id]
        if peer is None or peer[0] != session.pins[name]:
            raise RefusedError(deny(ReasonCode.DNS_REBIND, "the peer is not the address that was checked"))
        data.server.__dict__["address"] = name
