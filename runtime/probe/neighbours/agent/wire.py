"""The sandbox's own proxy as its environment names it, and connections through it."""

from __future__ import annotations

import base64
import os
import socket
import ssl
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

TIMEOUT_S = 5.0
NAMES_PORT = 53
ENGINE_RESOLVER = "127.0.0.11"
"""Where an engine serves the names of all its containers, unless it was kept from that."""


class Proxy(NamedTuple):
    """Where the sandbox's proxy is, and the sandbox's token."""

    host: str
    port: int
    authorization: str
    """Value of the header `Proxy-Authorization`."""


def proxy() -> Proxy:
    """The proxy that HTTPS_PROXY names. Raises KeyError where the environment has none."""
    parts = urlsplit(os.environ["HTTPS_PROXY"])
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return Proxy(parts.hostname or "", parts.port or 0, f"Basic {base64.b64encode(user.encode()).decode()}")


def connect(timeout_s: float = TIMEOUT_S) -> socket.socket:
    """A connection to the proxy. Raises OSError."""
    at = proxy()
    return socket.create_connection((at.host, at.port), timeout_s)


def tunnel(name: str) -> socket.socket:
    """A tunnel to port 443 of a host, nothing said in it yet. Raises OSError where it is refused."""
    connection = connect()
    try:
        _open_tunnel(connection, name)
    except BaseException:
        connection.close()
        raise
    return connection


def _open_tunnel(connection: socket.socket, name: str) -> None:
    token = proxy().authorization
    said = f"CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\nProxy-Authorization: {token}"
    connection.sendall(f"{said}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        if not (more := connection.recv(4096)):
            raise ConnectionError("closed before an answer to CONNECT")
        head += more
    if head.split(b" ", 2)[1] != b"200":
        raise ConnectionError(head.split(b"\r\n", 1)[0].decode(errors="replace"))


def secure(name: str, *, alpn: str = "http/1.1") -> ssl.SSLSocket:
    """A tunnel with TLS in it; who is at its end does not matter to an attacker. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    connection = tunnel(name)
    try:
        return context.wrap_socket(connection, server_hostname=name)
    except BaseException:
        connection.close()
        raise
