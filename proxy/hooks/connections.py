"""The hooks on connections: who it is, what it speaks, what is dialled for it."""

from __future__ import annotations

from mitmproxy import connection, tls
from mitmproxy.proxy import layer, server_hooks

from proxy.admission.session import SILENT, Entry, Origin, Session
from proxy.contract.grant import Grant
from proxy.destination.judge import Judged
from proxy.hooks.clients import Clients
from proxy.hooks.dials import Dials
from proxy.hooks.exchange import Exchanges
from proxy.hooks.fail_closed import abort_server, fail_closed, refuse_client, refuse_dial, refuse_layer
from proxy.hooks.recorder import Recorder
from proxy.layers.names import NamesMode
from proxy.layers.routes import Checks, choose_layer
from proxy.policy.limits import NAME_PEER_S, SILENCE_S, limits_of
from proxy.policy.model import Decision
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import NO_GRANT


class ConnectionHooks:
    """From accept to close. `ports` maps a listening port to its entry."""

    name = "nextlayer"
    """Takes the place of mitmproxy's addon of that name, which Proxyserver warns about when it is absent."""

    def __init__(
        self,
        clients: Clients,
        recorder: Recorder,
        dials: Dials,
        exchanges: Exchanges,
        ports: dict[int, Entry],
    ) -> None:
        self.clients = clients
        self.recorder = recorder
        self.ports = ports
        self._dials = dials
        self._exchanges = exchanges

    @fail_closed(refuse_client)
    def client_connected(self, client: connection.Client) -> None:
        """Identity is the network the connection came in on; without a grant it is closed at once."""
        entry = Entry.DNS if isinstance(client.proxy_mode, NamesMode) else self.ports[client.sockname[1]]
        origin = Origin(entry, int(client.peername[1]))
        clients = self.clients
        grant = clients.grants.find(str(client.sockname[0]), str(client.peername[0]))
        if grant is None:
            judged = Judged(str(client.peername[0]), client.sockname[1], NO_GRANT)
            self.recorder.record(None, origin, judged)
            client.error = "no grant"
            return
        meter = clients.meters.of(grant.sandbox_id)
        session = Session(grant.sandbox_id, origin, meter, clients.meters.clock)
        if entry is Entry.DNS:
            self._admit_name_peer(client, session)
        else:
            self._admit(client, session, grant)

    def client_disconnected(self, client: connection.Client) -> None:
        """Forget the connection and all that is under way on it."""
        self._exchanges.close_client(client.id)
        session = self.clients.sessions.pop(client.id, None)
        if session is None:
            return
        if session.entry is Entry.DNS:
            session.meter.close_name_peer()
        else:
            session.meter.close_connection()
        self.clients.sockets.close(client.id)

    def _admit(self, client: connection.Client, session: Session, grant: Grant) -> None:
        admission = session.meter.open_connection(
            limits_of(grant.policy.budgets), self.clients.meters.clock()
        )
        self.clients.sessions[client.id] = session
        session.owe(SILENT, within_s=SILENCE_S)
        if admission.refusal is not None:
            session.refusal, session.told_bytes = admission.refusal, 0
            judged = Judged(str(client.peername[0]), client.sockname[1], admission.refusal)
            session.refusal_id = self.recorder.record(grant, session.origin, judged)
            if not admission.is_told:
                client.error = admission.refusal.detail
                return
        self.clients.sockets.meter(client.id, session)

    def _admit_name_peer(self, client: connection.Client, session: Session) -> None:
        admission = session.meter.open_name_peer()
        self.clients.sessions[client.id] = session
        session.owe(None, within_s=NAME_PEER_S)
        if admission.refusal is not None:
            session.meter.suppress(ReasonCode.BUDGET_REQUESTS)
            client.error = admission.refusal.detail

    @fail_closed(refuse_layer)
    async def next_layer(self, data: layer.NextLayer) -> None:
        """Choose what speaks next; anything that is neither TLS nor HTTP ends here."""
        session = self.clients.sessions[data.context.client.id]
        grant, clock = self.clients.grant_of(session), self.clients.meters.clock

        async def vet(host: str, port: int) -> Decision | None:
            return await self._dials.vet(session, grant, host, port)

        def record(judged: Judged) -> None:
            session.refusal_id = self.recorder.record(grant, session.origin, judged, method="TLS")

        def spend() -> Decision | None:
            return session.meter.take_request(limits_of(grant.policy.budgets), clock())

        def take_name(name: str) -> Decision | None:
            return session.meter.take_name(limits_of(grant.policy.budgets), name, clock())

        checks = Checks(vet, record, spend, take_name)
        await choose_layer(data, session, grant.policy, checks)

    def tls_established_client(self, data: tls.TlsData) -> None:
        """The handshake came to its end in time; what is said next may wait."""
        if (session := self.clients.find(data.context.client.id)) is not None:
            session.settle()

    @fail_closed(refuse_dial)
    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Dial only an address that was resolved and checked for this connection."""
        session, server = self.clients.sessions[data.client.id], data.server
        self.clients.grant_of(session)
        name = server.address and (server.address[0], server.address[1])
        pinned = self._dials.begin(session, server.id, name) if name and server.via is None else None
        if name is None or pinned is None:
            server.error = "destination was not checked"
            return
        if server.tls and server.sni is None:
            server.sni = name[0]
        server.address = (pinned, name[1])

    @fail_closed(abort_server)
    def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
        """The peer must be the address that was checked; then give the connection its name back.

        mitmproxy 12.2 reuses a connection only if its address equals the request's, and refuses to set
        the address of an open one, hence `__dict__` (pinned by a test on keep-alive). It is the one place
        where state of ours is kept in an object of mitmproxy's.
        """
        peer = data.server.peername
        session = self.clients.sessions[data.client.id]
        name = self._dials.finish(session, data.server.id, str(peer[0]) if peer else None)
        data.server.__dict__["address"] = name

    def server_connect_error(self, data: server_hooks.ServerConnectionHookData) -> None:
        """The dial has failed, or was refused."""
        if (session := self.clients.find(data.client.id)) is not None:
            self._dials.give_up(session, data.server.id)
