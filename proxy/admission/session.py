"""What the proxy knows of one client connection, from accept to close."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from proxy.admission.meters import Meter
from proxy.contract.messages import EXPLICIT_PORT
from proxy.policy import limits
from proxy.policy.model import Decision
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import deny

SILENT = deny(ReasonCode.NOT_TLS_OR_HTTP, "nothing was said in time")
SLOW = deny(ReasonCode.BAD_REQUEST, "the request head or ClientHello did not end in time")


class Entry(enum.StrEnum):
    """The door a connection came in by."""

    EXPLICIT = "explicit"
    """The explicit proxy port: CONNECT and absolute-form requests."""
    SNI = "sni"
    """Port 443, judged by the ClientHello's server name."""
    HOST = "host"
    """Port 80, judged by the Host header."""
    DNS = "dns"


class Origin(NamedTuple):
    """Where a request came from, as the audit tells it."""

    entry: Entry
    client_port: int | None
    """Source port of the sandbox's connection; None where no connection is known."""


Address = tuple[str, int]
"""A host and a port."""

UNKNOWN_ORIGIN = Origin(Entry.EXPLICIT, None)
"""Of a failure that no connection can be named for."""


class Deadline(NamedTuple):
    """When the connection is cut, and what it failed to do by then."""

    at: float
    """On the proxy's monotonic clock."""
    decision: Decision | None
    """For the audit; None where there is nothing to say."""


@dataclass(slots=True)
class Session:
    """One client connection; it names its sandbox and never holds the grant, which may be revoked."""

    sandbox_id: str
    origin: Origin
    meter: Meter
    clock: Callable[[], float]
    """Monotonic, in seconds."""
    deadline: Deadline | None = None
    """What the client owes: a first byte, a whole ClientHello, a whole request head."""
    tunnel: Address | None = None
    """Where the connection leads once it is known: the CONNECT authority, or the server name and 443."""
    refusal: Decision | None = None
    """Set where the connection is served only to tell the client in-band that it was refused."""
    refusal_id: str | None = None
    """The audit line of that refusal, so that the in-band answer names the same request."""
    told_bytes: int | None = None
    """Bytes passed of a connection that is outside the byte budget since it only hears a refusal."""
    unsent: Callable[[], int] = lambda: 0
    """Bytes that wait in memory until an HTTP/2 client opens its window."""
    unsent_up: dict[int, int] = field(default_factory=dict)
    """Bytes that wait until an HTTP/2 upstream opens its window, by the client's stream."""
    pins: dict[Address, str] = field(default_factory=dict)
    """(host, port) -> the address that was resolved and checked: the only one that may be dialled."""
    dials: dict[str, Address] = field(default_factory=dict)
    """Id of a server connection that is being opened -> what is dialled for it."""

    def owe(self, decision: Decision | None, *, within_s: float) -> None:
        """Cut the connection, for `decision`, unless `settle` is called in time."""
        self.deadline = Deadline(self.clock() + within_s, decision)

    def owe_head(self) -> None:
        """A head (or ClientHello) has begun; a second call gives no more time for it."""
        if self.deadline is None or self.deadline.decision is SILENT:
            self.owe(SLOW, within_s=limits.HEAD_S)

    def settle(self) -> None:
        """Nothing is owed any more."""
        self.deadline = None

    @property
    def entry(self) -> Entry:
        """The door it came in by."""
        return self.origin.entry


SNI_PORT = 443
HOST_PORT = 80
ENTRIES = {EXPLICIT_PORT: Entry.EXPLICIT, SNI_PORT: Entry.SNI, HOST_PORT: Entry.HOST}
