"""The state of one request and its answer, from the moment it is handed over until its flow has ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.admission.session import Session
from proxy.contract.grant import Grant
from proxy.destination.judge import Judged
from proxy.hooks.clients import Clients
from proxy.policy.bindings import Binding
from proxy.secrets.leak_scan import LeakScan
from proxy.secrets.scrub import Reflection


@dataclass(slots=True)
class Exchange:
    """One request that was let out, and its answer. Shows nothing."""

    client_id: str
    grant: Grant = field(repr=False)
    session: Session
    judged: Judged
    path: str
    binding: Binding
    used: frozenset[str]
    """The secrets that were swapped in."""
    upward: LeakScan = field(repr=False)
    """For the messages of a WebSocket."""
    control: LeakScan = field(repr=False)
    """For its control frames."""
    reflection: Reflection = field(repr=False)


class Exchanges:
    """Those under way, by client connection and flow.

    An exchange goes when its flow has ended, whatever ended it, and at the latest with its client.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._by_client: dict[str, dict[str, Exchange]] = {}

    def open(self, flow_id: str, exchange: Exchange) -> None:
        """Keep it; not for a client that has gone meanwhile, of which no end would be told any more."""
        if self._clients.find(exchange.client_id) is exchange.session:
            self._by_client.setdefault(exchange.client_id, {})[flow_id] = exchange

    def find(self, client_id: str, flow_id: str) -> Exchange | None:
        """The exchange of a flow; None where nothing was let out, or all has ended."""
        return self._by_client.get(client_id, {}).get(flow_id)

    def close(self, client_id: str, flow_id: str) -> None:
        """Forget the exchange of a flow that has ended."""
        flows = self._by_client.get(client_id, {})
        flows.pop(flow_id, None)
        if not flows:
            self._by_client.pop(client_id, None)

    def close_client(self, client_id: str) -> None:
        """Forget all of a client connection."""
        self._by_client.pop(client_id, None)

    def __len__(self) -> int:
        return sum(len(flows) for flows in self._by_client.values())
