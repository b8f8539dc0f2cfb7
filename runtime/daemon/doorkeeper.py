"""Which connections the API's port takes, before a byte of one is read."""

from __future__ import annotations

import ipaddress
import socket
import time
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog

from runtime.access.source import source_of
from runtime.audit.sparse import Sparse
from runtime.daemon.library_log import MINUTE_S

MAX_PER_PEER = 128
MAX_CONNECTIONS = 1024

type IsSandboxed = Callable[[ipaddress.IPv4Address | ipaddress.IPv6Address], bool]
"""Whether an address is one where sandboxes, or their proxy, are."""


class Doorkeeper:
    """Knows who is let in, and how many there are."""

    def __init__(self, is_sandboxed: IsSandboxed, *, most: int = MAX_CONNECTIONS) -> None:
        """`most` is how many connections there may be at one time."""
        self._is_sandboxed = is_sandboxed
        self._most = most
        self._peers: Counter[str] = Counter()
        self._sparse = Sparse()
        self._log = structlog.get_logger()

    def admits(self, peer: str) -> bool:
        """Whether a peer is spoken with at all: nobody is from where sandboxes are."""
        address = ipaddress.ip_address(peer.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if self._is_sandboxed(address):
            self._tell(str(address))
            return False
        return True

    def _tell(self, address: str) -> None:
        """Sixty times, and then once a minute: whoever is refused may come again as often as it likes."""
        suppressed = self._sparse.take(time.monotonic() / MINUTE_S)
        if suppressed is not None:
            self._log.error("api-refused-a-sandbox", peer=address, suppressed=suppressed)

    def enter(self, peer: str) -> bool:
        """Whether there is room for one more connection; each that has it is to `leave`."""
        source = source_of(peer)
        if self._peers[source] >= MAX_PER_PEER or self._peers.total() >= self._most:
            return False
        self._peers[source] += 1
        return True

    def leave(self, peer: str) -> None:
        """It is closed."""
        source = source_of(peer)
        self._peers[source] -= 1
        if not self._peers[source]:
            del self._peers[source]


class Listener(socket.socket):
    """Takes no connection that the doorkeeper does not: not a byte of it is read.

    A connection has its place from here on, with its TLS handshake, until its socket is closed, whoever
    closes it.
    """

    doorkeeper: Doorkeeper

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection. Raises ConnectionAbortedError for one that is not taken."""
        connection, peer = super().accept()
        if self.doorkeeper.admits(peer[0]) and self.doorkeeper.enter(peer[0]):
            return _Taken(connection, self.doorkeeper, peer[0]), peer
        connection.close()
        raise ConnectionAbortedError  # asyncio (3.12) goes on with the next one


class _Taken(socket.socket):
    """A connection that gives its place back when it is closed, or forgotten."""

    __slots__ = ("_leave",)

    def __init__(self, connection: socket.socket, doorkeeper: Doorkeeper, peer: str) -> None:
        family, kind, protocol = connection.family, connection.type, connection.proto
        super().__init__(family, kind, protocol, fileno=connection.detach())
        self._leave = weakref.finalize(self, doorkeeper.leave, peer)
        self._leave.atexit = False

    def close(self) -> None:
        super().close()
        self._leave()
