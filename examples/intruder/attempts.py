"""The attempts: each is a name, what should happen, and a function that says whether it got out."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import own_network

TIMEOUT_S = 2.0
REFUSED = "the proxy refuses"
NO_PATH = "no path"
NO_NAME = "no such name"
Outcome = tuple[bool, str]
"""(got out, what was seen)."""


@dataclass(frozen=True)
class Attempt:
    """One way out."""

    name: str
    expected: str
    run: Callable[[], Outcome]


def make(attempt: Attempt) -> dict[str, Any]:
    """Make one attempt; a fault of the socket is a way that is shut."""
    try:
        got_out, detail = attempt.run()
    except (OSError, ValueError) as error:
        got_out, detail = False, f"{type(error).__name__}: {error}"
    return {"attempt": attempt.name, "expected": attempt.expected, "got_out": got_out, "detail": detail}


def by_proxy(host: str, *, marker: str) -> list[Attempt]:
    """A host that is not listed, by the proxy of the environment and by the name in the TLS hello."""
    name = f"{marker}.{host}"
    return [
        Attempt(f"https://{name}/ through the proxy", REFUSED, partial(_tunnel, name, 443, marker)),
        Attempt(f"http://{name}/ through the proxy", REFUSED, partial(_plain, name, 80, marker)),
        Attempt(f"TLS to the proxy's :443 for {name}", REFUSED, partial(_server_name, name, marker)),
    ]


def by_proxy_to_address(address: str | None, *, port: int, what: str, marker: str) -> list[Attempt]:
    """An address, by the proxy."""
    if address is None:
        return []
    place = f"{address}:{port} ({what}) through the proxy"
    return [
        Attempt(f"CONNECT {place}", REFUSED, partial(_tunnel, address, port, marker)),
        Attempt(f"GET {place}", REFUSED, partial(_plain, address, port, marker)),
    ]


def by_raw_socket(address: str | None, *, ports: tuple[int, ...], what: str, marker: str) -> list[Attempt]:
    """An address, by a socket that knows of no proxy."""
    if address is None:
        return []
    return [
        Attempt(f"socket to {address}:{port} ({what})", NO_PATH, partial(_raw, address, port, marker))
        for port in ports
    ]


def by_dns(host: str, *, server: str | None, marker: str) -> list[Attempt]:
    """Data in the labels of a name, by the resolver and by questions made by hand."""
    name = f"{base64.b32encode(b'the secret').decode().rstrip('=').lower()}.{marker}.tunnel.{host}"
    made = [Attempt("DNS tunnel by getaddrinfo", NO_NAME, partial(_resolve, name))]
    if (own := own_network.resolver()) is not None:
        made += [
            Attempt(f"DNS tunnel by a {kind} question to {own}", NO_NAME, partial(_ask, own, name, number))
            for kind, number in (("A", 1), ("TXT", 16))
        ]
    if server is not None:
        made += [
            Attempt(f"DNS tunnel by UDP to {server}", NO_PATH, partial(_ask, server, name, 1)),
            Attempt(f"DNS tunnel by TCP to {server}", NO_PATH, partial(_raw, server, 53, marker)),
        ]
    return made


def _raw(address: str, port: int, marker: str) -> Outcome:
    with socket.create_connection((address, port), timeout=TIMEOUT_S) as connection:
        connection.sendall(f"GET /{marker} HTTP/1.0\r\n\r\n".encode())
        return True, "connected"


def _resolve(name: str) -> Outcome:
    found = socket.getaddrinfo(name, 443)
    return True, f"resolved to {found[0][4][0]}"


def _ask(server: str, name: str, kind: int) -> Outcome:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    question = labels + b"\0" + struct.pack("!HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(TIMEOUT_S)
        asking.sendto(struct.pack("!HHHHHH", 4711, 0x0100, 1, 0, 0, 0) + question, (server, 53))
        reply = asking.recv(4096)
    if len(reply) < 12:
        return True, "a reply that is no answer of a name server"
    flags, _, answers = struct.unpack_from("!HHH", reply, 2)
    detail = f"a reply with rcode {flags & 15} and {answers} answers"
    return answers > 0 or server != own_network.resolver(), detail


def _proxy_socket(port: int | None = None) -> tuple[socket.socket, str]:
    found = own_network.proxy()
    if found is None:
        raise OSError("no proxy in the environment")
    host, own_port, login = found
    connection = socket.create_connection((host, port or own_port), timeout=TIMEOUT_S * 2)
    return connection, "Basic " + base64.b64encode(login.encode()).decode()


def _plain(host: str, port: int, marker: str) -> Outcome:
    connection, login = _proxy_socket()
    place = host if port == 80 else f"{host}:{port}"
    head = f"GET http://{place}/{marker} HTTP/1.1\r\nHost: {place}\r\nProxy-Authorization: {login}\r\n"
    with connection:
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
        return _judge(_read(connection))


def _tunnel(host: str, port: int, marker: str) -> Outcome:
    connection, login = _proxy_socket()
    head = f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nProxy-Authorization: {login}\r\n\r\n"
    with connection:
        connection.sendall(head.encode())
        reply = connection.recv(65536)
        if reply.split(b" ", 2)[1:2] != [b"200"]:
            return _judge(reply + _read(connection))
        # An open tunnel is no way out yet: the refusal, readable, may come inside it.
        if port != 443:
            connection.sendall(
                f"GET /{marker} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            )
            return _judge(_read(connection))
        return _inside_tls(connection, host, marker)


def _server_name(host: str, marker: str) -> Outcome:
    connection, _ = _proxy_socket(443)
    with connection:
        return _inside_tls(connection, host, marker)


def _inside_tls(connection: socket.socket, host: str, marker: str) -> Outcome:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # an intruder does not mind
    with context.wrap_socket(connection, server_hostname=host) as secure:
        secure.sendall(f"GET /{marker} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return _judge(_read(secure))


def _read(connection: socket.socket) -> bytes:
    reply = b""
    try:
        while len(reply) < 1 << 20 and (block := connection.recv(65536)):
            reply += block
    except (TimeoutError, ConnectionError, ssl.SSLError):
        pass
    return reply


def _judge(reply: bytes) -> Outcome:
    """Only the proxy's own refusal, or silence, counts as held."""
    if not reply:
        return False, "closed without an answer"
    head, _, body = reply.partition(b"\r\n\r\n")
    status = head.split(b"\r\n")[0].decode("latin-1")
    at = body.find(b"{")  # past the size line of a chunked body
    try:
        problem, _ = json.JSONDecoder().raw_decode(body[at:].decode()) if at >= 0 else ({}, 0)
    except ValueError:
        problem = {}
    reason = problem.get("reason_code") if isinstance(problem, dict) else None
    if b"application/problem+json" in head.lower() and reason:
        return False, f"{status}, {reason}: {problem.get('detail')}"
    return True, f"an answer: {status}"
