"""Builds the three addons and what they share; the proxy and the tests build them here and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from proxy.admission.grants import GrantRegistry
from proxy.admission.meters import Meters
from proxy.admission.session import ENTRIES, Entry
from proxy.control.audit import Audit
from proxy.destination.lookups import SharedLookups
from proxy.destination.resolve import Lookup
from proxy.hooks.bodies import Bodies
from proxy.hooks.clients import Clients
from proxy.hooks.connections import ConnectionHooks
from proxy.hooks.dials import Dials
from proxy.hooks.dns import DnsHooks
from proxy.hooks.exchange import Exchanges
from proxy.hooks.handover import Handover
from proxy.hooks.known import KnownSecrets, Uploads
from proxy.hooks.llm_door import LlmDoor
from proxy.hooks.recorder import Recorder
from proxy.hooks.requests import RequestHooks


@dataclass(frozen=True, slots=True)
class Hooks:
    """One set a proxy process. No hook is in two of the addons, so that their order says nothing."""

    connections: ConnectionHooks
    requests: RequestHooks
    dns: DnsHooks
    clients: Clients
    recorder: Recorder
    dials: Dials
    handover: Handover
    known: KnownSecrets
    uploads: Uploads
    exchanges: Exchanges
    door: LlmDoor

    @property
    def addons(self) -> tuple[object, ...]:
        """The three addons, as the master registers them with mitmproxy."""
        return (self.connections, self.requests, self.dns)

    def drop_sandbox(self, sandbox_id: str) -> None:
        """Cut every connection of a sandbox whose grant is gone, and forget all that was known of it."""
        self.known.forget(sandbox_id)
        self.uploads.forget(sandbox_id)
        self.clients.drop_sandbox(sandbox_id)


def wire(
    grants: GrantRegistry,
    audit: Audit,
    *,
    lookup: Lookup,
    ports: dict[int, Entry] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Hooks:
    """The hooks over these grants. `ports` maps a listening port to its entry (tests use other ports)."""
    meters, known, uploads, door = Meters(clock), KnownSecrets(grants), Uploads(grants), LlmDoor()
    recorder = Recorder(audit, grants, meters, known)
    clients = Clients(grants, meters, recorder)
    exchanges = Exchanges(clients)
    dials = Dials(grants, known, door, SharedLookups(lookup))
    handover = Handover(known, uploads, exchanges, Bodies(clients, recorder), door)
    return Hooks(
        connections=ConnectionHooks(clients, recorder, dials, exchanges, ports or ENTRIES),
        requests=RequestHooks(clients, recorder, dials, handover),
        dns=DnsHooks(clients, recorder),
        clients=clients,
        recorder=recorder,
        dials=dials,
        handover=handover,
        known=known,
        uploads=uploads,
        exchanges=exchanges,
        door=door,
    )
