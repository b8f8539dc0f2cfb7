"""The attacks on the sandbox's own proxy and own streams, each bounded in time and in count."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from runtime.probe.inside.http2 import frame, pack
from runtime.probe.inside.packets import question
from runtime.probe.neighbours.agent import wire

ERRORS = 8
"""Different ones that are told."""


@dataclass(slots=True)
class Bounds:
    """How long and how often an attack may act; several threads share it."""

    name: str
    """The host that the policy allows."""
    until: float
    """On the monotonic clock."""
    most: int
    done: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def is_on(self) -> bool:
        """Whether there is time, and something left to do."""
        return time.monotonic() < self.until and self.done < self.most

    def take(self) -> bool:
        """Count one act; whether it may be made."""
        with self._lock:
            self.done += 1
        return self.done <= self.most and time.monotonic() < self.until

    def note(self, error: str) -> None:
        """Count an error, by its text."""
        with self._lock:
            if error in self.errors or len(self.errors) < ERRORS:
                self.errors[error] = self.errors.get(error, 0) + 1


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack: its act is repeated by each of its threads while the bounds last."""

    act: Callable[[Bounds], None]
    most: int
    """Acts in all; what an act is, its function counts."""
    at_once: int = 1
    says: bytes = b""
    """The attacker's result, where that is the attack."""


def dns_ports(bounds: Bounds) -> None:
    """A question to the proxy from a source port of its own, the answer not waited for."""
    query, at = question(bounds.name, 1, 1), (wire.proxy().host, wire.NAMES_PORT)
    while bounds.take():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.sendto(query, at)


def dns_resolver(bounds: Bounds) -> None:
    """The same to the resolver that one process of the engine serves to all containers."""
    query, at = question(bounds.name, 1, 1), (wire.ENGINE_RESOLVER, wire.NAMES_PORT)
    while bounds.take():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.sendto(query, at)


def pieces(bounds: Bounds) -> None:
    """A body of escapes in one piece, then one byte a chunk: each piece may be searched again."""
    with wire.secure(bounds.name) as connection:
        connection.sendall(_post(bounds.name, "/upload", "Transfer-Encoding: chunked"))
        start = b"%41" * 13_000
        connection.sendall(f"{len(start):x}\r\n".encode() + start + b"\r\n")
        for _ in range(109):
            if not bounds.take():
                return
            connection.sendall(b"1\r\n%\r\n" * 100)
        connection.sendall(b"0\r\n\r\n")
        connection.recv(4096)


def connection_names(bounds: Bounds) -> None:
    """A head that names thousands of headers in `Connection`, and has hundreds."""
    names = ",".join(f"h{number:x}" for number in range(9_500))
    more = "".join(f"x{number}: y\r\n" for number in range(245))
    head = f"GET http://{bounds.name}/ HTTP/1.1\r\nHost: {bounds.name}\r\nConnection: {names}\r\n{more}"
    raw = f"{head}Proxy-Authorization: {wire.proxy().authorization}\r\n\r\n".encode()
    with wire.connect() as connection:
        while bounds.take():
            connection.sendall(raw)
            if not connection.recv(65536):
                return


def half_open(bounds: Bounds) -> None:
    """Connections that begin a head or a ClientHello and never end it; sixty at a time for each thread."""
    at, held = wire.proxy(), list[socket.socket]()
    beginnings = itertools.cycle(
        ((at.port, b"CONNECT ok.t"), (443, b"\x16\x03\x01\x02\x00\x01"), (at.port, b""))
    )
    try:
        while len(held) < 60 and bounds.take():
            port, beginning = next(beginnings)
            connection = socket.create_connection((at.host, port), 1.0)
            held.append(connection)
            connection.sendall(beginning)
    finally:
        for connection in held:
            connection.close()


def failing_handshakes(bounds: Bounds) -> None:
    """Handshakes of a client that trusts nobody, and says so."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    while bounds.take():
        with wire.tunnel(bounds.name) as connection, contextlib.suppress(ssl.SSLError):
            context.wrap_socket(connection, server_hostname=bounds.name).close()


def websocket_message(bounds: Bounds) -> None:
    """A message in frames of 64 KiB of which none is the last."""
    _endless(bounds, first=b"\x02", then=b"\x00", block=bytes(65_536))


def websocket_inflation(bounds: Bounds) -> None:
    """The same in frames that inflate to a thousand times their size (RFC 7692)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(16 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH)
    _endless(bounds, first=b"\x42", then=b"\x00", block=block)


def _endless(bounds: Bounds, *, first: bytes, then: bytes, block: bytes) -> None:
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13"
    asked = (
        f"Upgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\nSec-WebSocket-Extensions: permessage-deflate"
    )
    with wire.secure(bounds.name) as connection:
        connection.sendall(f"GET /ws HTTP/1.1\r\nHost: {bounds.name}\r\n{asked}\r\n\r\n".encode())
        head = connection.recv(4096)
        if b" 101 " not in head:
            raise ConnectionError(head[:60].decode(errors="replace"))
        if first[0] & 0x40 and b"permessage-deflate" not in head.lower():
            raise ConnectionError("permessage-deflate is not negotiated")
        size = b"\xff" + len(block).to_bytes(8, "big") + bytes(4)  # masked with zeros, which change nothing
        opcode = first
        while bounds.take():
            connection.sendall(opcode + size + block)
            opcode = then


def malformed_streams(bounds: Bounds) -> None:
    """HTTP/2 streams with header names that no request may have."""
    headers = pack([[":method", "GET"], [":scheme", "https"], [":path", "/"], ["Bad Name", "\r\n"]])
    with wire.secure(bounds.name, alpn="h2") as connection:
        if connection.selected_alpn_protocol() != "h2":
            raise ConnectionError("HTTP/2 is not negotiated")
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        connection.settimeout(0.05)
        stream = 1
        while bounds.take():
            connection.sendall(frame(1, 5, stream, headers))
            stream += 2
            if stream % 64 == 1:
                with contextlib.suppress(TimeoutError):
                    if not connection.recv(65536):
                        return


def closed_window(bounds: Bounds) -> None:
    """Answers in small pieces to a client whose HTTP/2 window never opens."""
    settings = frame(4, 0, 0, (4).to_bytes(2, "big") + bytes(4))
    with wire.secure(bounds.name, alpn="h2") as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
        path = "/events?n=500"  # more would be the upstream's own work, which the victim's requests wait for
        for number in range(4):
            if not bounds.take():
                return
            asked = [[":method", "GET"], [":scheme", "https"], [":authority", bounds.name], [":path", path]]
            connection.sendall(frame(1, 5, 2 * number + 1, pack(asked)))
        while time.monotonic() < bounds.until:
            connection.settimeout(max(0.01, bounds.until - time.monotonic()))
            with contextlib.suppress(TimeoutError):
                if not connection.recv(65536):
                    return


def refused(bounds: Bounds) -> None:
    """Requests to a name that no rule allows, one after the other."""
    token = wire.proxy().authorization
    raw = (
        f"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\nProxy-Authorization: {token}\r\n\r\n".encode()
    )
    with wire.connect() as connection:
        while bounds.take():
            connection.sendall(raw)
            if not connection.recv(65536):
                return


def unread_upload(bounds: Bounds) -> None:
    """A body without end to an upstream that answers late and reads none of it."""
    with wire.secure(bounds.name) as connection:
        head = f"GET /slow/60 HTTP/1.1\r\nHost: {bounds.name}\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        block = b"10000\r\n" + bytes(65_536) + b"\r\n"
        connection.settimeout(1.0)
        while bounds.take():
            with contextlib.suppress(TimeoutError):  # TLS goes on where it was: the bytes do not matter
                connection.sendall(block)


def newlines(bounds: Bounds) -> None:
    """Lines of nothing on stderr, as many as the streams take."""
    block = b"\n" * 65_536
    os.set_blocking(2, False)
    while bounds.is_on():
        if select.select([], [2], [], 0.1)[1]:
            with contextlib.suppress(BlockingIOError):
                bounds.done += os.write(2, block)


def nothing(bounds: Bounds) -> None:
    """Only be there: the attack, if there is one, is the result."""
    bounds.take()


def _post(name: str, path: str, more: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: {name}\r\n{more}\r\n\r\n".encode()


def lone_newlines(bounds: Bounds) -> None:
    """Newlines on stderr, each by a write of its own: as many pieces as there are bytes."""
    os.set_blocking(2, False)
    while bounds.is_on():
        if select.select([], [2], [], 0.1)[1]:
            with contextlib.suppress(BlockingIOError):
                for _ in range(1000):
                    bounds.done += os.write(2, b"\n")


ATTACKS: dict[str, Attack] = {
    "nothing": Attack(nothing, 1),
    "dns_ports": Attack(dns_ports, 56_000),
    "dns_resolver": Attack(dns_resolver, 56_000),
    "pieces": Attack(pieces, 10_000, at_once=2),
    "connection_names": Attack(connection_names, 400, at_once=8),
    "half_open": Attack(half_open, 4_000, at_once=4),
    "failing_handshakes": Attack(failing_handshakes, 1_000, at_once=4),
    "websocket_message": Attack(websocket_message, 1_024),
    "websocket_inflation": Attack(websocket_inflation, 64),
    "malformed_streams": Attack(malformed_streams, 20_000, at_once=2),
    "closed_window": Attack(closed_window, 8),
    "refused": Attack(refused, 20_000, at_once=8),
    "unread_upload": Attack(unread_upload, 8_192, at_once=2),
    "newlines": Attack(newlines, 32 << 20),
    "lone_newlines": Attack(lone_newlines, 8 << 20),
    "result": Attack(nothing, 1, says=b"[" + b"[]," * 3_000_000 + b"[]]"),
}
