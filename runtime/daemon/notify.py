"""What the service manager is told of the daemon (sd_notify(3)): datagrams to a socket that it names."""

from __future__ import annotations

import socket

import structlog

SEND_TIMEOUT_S = 1.0


class Notifier:
    """Tells the service manager; says nothing where there is none."""

    def __init__(self, path: str | None) -> None:
        """`path` is NOTIFY_SOCKET: an absolute path, or `@` and a name that is in no folder."""
        self._address = None if not path else f"\0{path[1:]}" if path.startswith("@") else path
        self._log = structlog.get_logger()

    def ready(self, status: str) -> None:
        """The daemon answers."""
        self._send(f"READY=1\nSTATUS={status}")

    def stopping(self, status: str, *, takes_s: float) -> None:
        """The daemon ends, which may take so long: it is not to be killed before."""
        self._send(f"STOPPING=1\nSTATUS={status}\nEXTEND_TIMEOUT_USEC={int(takes_s * 1_000_000)}")

    def _send(self, message: str) -> None:
        """A daemon that nobody hears serves all the same."""
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.settimeout(SEND_TIMEOUT_S)
                sock.sendto(message.encode(), self._address)
        except OSError as exc:
            self._log.warning("service-manager-not-told", reason=exc.strerror or type(exc).__name__)
