"""What the proxy knows of one client connection, from accept to close."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import NamedTuple

from proxy.policy.model import Decision


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


UNKNOWN_ORIGIN = Origin(Entry.EXPLICIT, None)
"""Of a failure that no connection can be named for."""


@dataclass(slots=True)
class Session:
    """One client connection; it names its sandbox and never holds the grant, which may be revoked."""

    sandbox_id: str
    origin: Origin
    tunnel: tuple[str, int] | None = None
    """Where the connection leads once it is known: the CONNECT authority, or the server name and 443."""
    refusal: Decision | None = None
    """Set where TLS is ended here only to tell the client in-band that it was refused."""
    refusal_id: str | None = None
    """The audit line of that refusal, so that the in-band answer names the same request."""
    pins: dict[tuple[str, int], str] = field(default_factory=dict)
    """(host, port) -> the address that was resolved and checked: the only one that may be dialled."""

    @property
    def entry(self) -> Entry:
        """The door it came in by."""
        return self.origin.entry
