"""The source ports one attempt used towards the proxy: the audit's lines name them too."""

from __future__ import annotations

import socket


class Trail:
    """Opens connections and remembers where they came from."""

    def __init__(self) -> None:
        self.ports: list[int] = []

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """A TCP connection. Raises OSError."""
        connection = socket.create_connection((address, port), timeout=timeout_s)
        self.ports.append(connection.getsockname()[1])
        return connection
