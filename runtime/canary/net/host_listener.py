"""A service on a port of the host's own, open on every address, that counts who came."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class HostListener:
    """`with HostListener() as host:` -> `host.port`, `host.peers`."""

    def __init__(self, port: int = 0) -> None:
        self._wanted = port
        self.peers: list[str] = []

    def __enter__(self) -> Self:
        """Listen on 0.0.0.0."""
        self._listener = socket.create_server(("0.0.0.0", self._wanted))  # noqa: S104 - what must not be reached
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accept
        self._thread.join(timeout=5)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, peer = self._listener.accept()
            except OSError:
                return
            self.peers.append(f"{peer[0]}:{peer[1]}")
            with contextlib.suppress(OSError), connection:
                connection.sendall(b"this is the host\n")
