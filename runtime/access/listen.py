"""Where the API listens beside its unix socket, as ORCHBOX_LISTEN says it. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

TAKES = "HOST:PORT with TLS, or http://127.0.0.1:PORT without; HOST is an address of this host"
_FORM = re.compile(r"(?:(https?)://)?(\[[0-9a-fA-F:.]+\]|[0-9.]+|localhost):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Listen:
    """A place to listen on."""

    host: str
    """An IPv4 or IPv6 address; all zero is every address of the host."""
    port: int
    is_tls: bool = True

    @property
    def url(self) -> str:
        """As a client of this host calls it."""
        address = ipaddress.ip_address(self.host)
        host = self.host
        if address.is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "::1"
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.is_tls else 'http'}://{shown}:{self.port}"


def parse_listen(text: str) -> Listen:
    """Read what the operator wrote. Raises ValueError; without TLS only loopback will do."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(TAKES)
    host = "127.0.0.1" if found[2] == "localhost" else found[2].strip("[]")
    address = ipaddress.ip_address(host)
    port = int(found[3])
    is_tls = found[1] != "http"
    if not 1 <= port <= 65535 or not (is_tls or address.is_loopback):
        raise ValueError(TAKES)
    return Listen(str(address), port, is_tls)
