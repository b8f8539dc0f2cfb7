"""What the simulators saw, as values that travel as JSON. Shared by the simulator and the harness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CREDENTIAL_HEADERS = frozenset(
    ("authorization", "proxy-authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie")
)


@dataclass(frozen=True, slots=True)
class Accept:
    """One TCP connection, counted when `accept()` returned it: before TLS, before any byte."""

    at: float
    address: str
    port: int
    peer: str


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet that arrived on the canary's interface, whether or not anything listens there.

    TCP counts connection attempts only (SYN), so that a watched simulator does not fill the list.
    """

    at: float
    protocol: str
    source: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Query:
    """One DNS question that reached a canary."""

    at: float
    name: str
    type: str
    transport: str


@dataclass(frozen=True, slots=True)
class Hello:
    """One TLS ClientHello; `sni` is None where it carried no name."""

    at: float
    sni: str | None


@dataclass(slots=True)
class Exchange:
    """One HTTP request (or WebSocket) and how its answer went out. Times are epoch seconds."""

    at: float
    scheme: str
    address: str
    port: int
    sni: str | None
    host: str
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body_bytes: int = 0
    body_sha256: str | None = None
    status: int | None = None
    first_byte_at: float | None = None
    last_byte_at: float | None = None
    sent_bytes: int = 0
    sent_chunks: int = 0

    @property
    def credentials(self) -> dict[str, str]:
        """The headers that carry a credential, by lower-case name."""
        return {name: value for name, value in self.headers if name in CREDENTIAL_HEADERS}

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return next((value for key, value in self.headers if key == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Record:
    """Everything seen since the start or the last reset."""

    accepts: list[Accept] = field(default_factory=list)
    packets: list[Packet] = field(default_factory=list)
    dns: list[Query] = field(default_factory=list)
    hellos: list[Hello] = field(default_factory=list)
    requests: list[Exchange] = field(default_factory=list)

    def accepts_to(self, address: str, port: int | None = None) -> list[Accept]:
        """The TCP connections to an address, or to one port of it."""
        return [a for a in self.accepts if a.address == address and port in {None, a.port}]

    def packets_to(self, *addresses: str) -> list[Packet]:
        """The packets to any of these addresses."""
        return [p for p in self.packets if p.address in addresses]

    def without(self, host: str) -> Record:
        """The record without the packets and connections from `host`, which is the host's own address.

        No container can send from there: the kernel drops what claims to come from an address of its own.
        Questions and requests stay, whoever sent them: a program of the host can ask for a sandbox's name.
        """
        return Record(
            accepts=[accept for accept in self.accepts if accept.peer.rpartition(":")[0] != host],
            packets=[packet for packet in self.packets if packet.source != host],
            dns=self.dns,
            hellos=self.hellos,
            requests=self.requests,
        )

    def queries_for(self, name: str) -> list[Query]:
        """The DNS questions for a name or for anything below it."""
        wanted = name.lower().rstrip(".")
        return [q for q in self.dns if q.name == wanted or q.name.endswith("." + wanted)]

    def requests_to(self, host: str) -> list[Exchange]:
        """The requests whose Host names this host."""
        return [r for r in self.requests if r.host == host.lower()]


def record_from_json(data: Mapping[str, Any]) -> Record:
    """The `Record` behind the control endpoint's JSON."""
    return Record(
        accepts=[Accept(**item) for item in data["accepts"]],
        packets=[Packet(**item) for item in data["packets"]],
        dns=[Query(**item) for item in data["dns"]],
        hellos=[Hello(**item) for item in data["hellos"]],
        requests=[
            Exchange(**{**item, "headers": [(k, v) for k, v in item["headers"]]}) for item in data["requests"]
        ],
    )
