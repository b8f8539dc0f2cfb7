"""What the sandbox can learn of its own network without any right."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from urllib.parse import unquote, urlsplit


def gateway() -> str | None:
    """The first address of the network this sandbox is on, where a bridge has its host."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        destination, mask = int(fields[1], 16), int(fields[7], 16)
        if mask:
            # The kernel prints an address's bytes in the machine's own order.
            return str(ipaddress.ip_address(socket.ntohl(destination) + 1))
    return None


def resolver() -> str | None:
    """The first name server that this sandbox's programs ask."""
    for line in Path("/etc/resolv.conf").read_text().splitlines():
        if line.startswith("nameserver "):
            return line.split()[1]
    return None


def proxy() -> tuple[str, int, str] | None:
    """The proxy of the environment: host, port and `user:password`."""
    url = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    if not url:
        return None
    parts = urlsplit(url)
    login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return (parts.hostname or "", parts.port or 8080, login)
