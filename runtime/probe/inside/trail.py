"""The source ports one attempt used towards the proxy: the audit's lines name them too."""

from __future__ import annotations

import errno
import itertools
import socket

_PORTS = itertools.count(10_000)
"""Below those that the system hands out, and never one twice: a line then belongs to one attempt."""
LAST_PORT = 31_999


class Trail:
    """Opens connections and remembers where they came from."""

    def __init__(self) -> None:
        self.ports: list[int] = []

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """A TCP connection. Raises OSError, also when every port has been used."""
        while (own := next(_PORTS)) <= LAST_PORT:
            try:
                connection = socket.create_connection((address, port), timeout_s, source_address=("", own))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                raise
            self.ports.append(own)
            return connection
        raise OSError("the probe has used all its source ports")
