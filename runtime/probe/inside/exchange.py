"""Steps on one connection to the proxy, byte by byte as the case gives them, and what came back."""

from __future__ import annotations

import json
import socket
import ssl
import time
from typing import Any

from .trail import Trail

CONNECT_S = 5.0
READ_S = 6.0


def exchange(args: dict[str, Any], trail: Trail) -> dict[str, Any]:
    """Connect to `to` (address and port), take the `steps`, read up to `responses` answers.

    Steps: ["send", text], ["pause", s], ["connect", authority, auth] (CONNECT, must be answered 200 to go
    on), ["tls", {"sni", "alpn"}], ["half_close"]. Text is latin-1: one character a byte.
    """
    return exchanged(args, trail)[0]


def exchanged(args: dict[str, Any], trail: Trail) -> tuple[dict[str, Any], bytes]:
    """The same, with the beginning of what came back."""
    address, port = args["to"]
    try:
        connection = trail.connect(address, int(port), CONNECT_S)
    except OSError as error:
        return {"outcome": "silent", "detail": f"no connection: {error}"}, b""
    reader = Answers(connection)
    try:
        with connection:
            for step in args["steps"]:
                if not _take(reader, step):
                    return reader.seen(), reader.excerpt
            reader.read(int(args.get("responses", 1)), float(args.get("wait_s", READ_S)))
    except (OSError, ssl.SSLError) as error:
        reader.error = f"{type(error).__name__}: {error}"
        reader.is_closed = True
    return reader.seen(), reader.excerpt


def _take(reader: Answers, step: list[Any]) -> bool:
    """Whether to go on."""
    match step[0]:
        case "send":
            reader.connection.sendall(step[1].encode("latin-1"))
        case "pause":
            time.sleep(step[1])
        case "half_close":
            reader.connection.shutdown(socket.SHUT_WR)
        case "tls":
            reader.connection = _tls(reader.connection, step[1])
        case "connect":
            authority, auth = step[1], step[2]
            head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nProxy-Authorization: Basic {auth}"
            reader.connection.sendall(f"{head}\r\n\r\n".encode("latin-1"))
            return reader.read_tunnel_head()
        case _:
            raise ValueError(f"no such step: {step[0]}")
    return True


def _tls(connection: socket.socket, how: dict[str, Any]) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # an attacker does not mind
    if how.get("alpn"):
        context.set_alpn_protocols(how["alpn"])
    return context.wrap_socket(connection, server_hostname=how.get("sni"))


class Answers:
    """Reads HTTP/1 answers and keeps of each its status and, where it is the proxy's, its reason."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.statuses: list[int] = []
        self.reasons: list[str | None] = []
        self.error = ""
        self.is_closed = False
        self._buffer = b""
        self.excerpt = b""

    def read_tunnel_head(self) -> bool:
        """Whether a CONNECT was answered 200; anything else is an answer like any other."""
        self.connection.settimeout(READ_S)
        while b"\r\n\r\n" not in self._buffer and self._more():
            pass
        if self._buffer.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
            self._buffer = self._buffer.partition(b"\r\n\r\n")[2]
            return True
        self.read(1, READ_S)
        return False

    def read(self, responses: int, wait_s: float) -> None:
        """Read until so many answers are complete, the peer closes, or the time is up."""
        until = time.monotonic() + wait_s
        while len(self.statuses) < responses:
            if self._take_answer(is_last=False):
                continue
            left = until - time.monotonic()
            if left <= 0:
                self.error = "no answer in time"
                break
            self.connection.settimeout(left)
            if not self._more():
                break
        self._take_answer(is_last=True)

    def _more(self) -> bool:
        try:
            data = self.connection.recv(65536)
        except TimeoutError:
            return False
        self.is_closed = not data
        self._buffer += data
        self.excerpt = (self.excerpt + data)[:2000]
        return bool(data)

    def _take_answer(self, *, is_last: bool) -> bool:
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator or not head.startswith(b"HTTP/1."):
            return False
        status = int(head[9:12])
        size = _content_length(head)
        if size is not None and len(rest) < size and not is_last:
            return False
        if size is None and not is_last and not self.is_closed and not rest.endswith(b"0\r\n\r\n"):
            return False
        body, self._buffer = (rest, b"") if size is None else (rest[:size], rest[size:])
        if status != 100:
            self.statuses.append(status)
            self.reasons.append(reason_of(head, body))
        return True

    def seen(self) -> dict[str, Any]:
        """What was seen, as the judge reads it."""
        outcome = "answered" if self.statuses else "closed" if self.is_closed else "silent"
        said = self.excerpt[:200].decode("latin-1")
        detail = self.error or (f"answered {self.statuses}" if self.statuses else f"{outcome} {said!r}")
        return {"outcome": outcome, "detail": detail, "statuses": self.statuses, "reasons": self.reasons}


def _content_length(head: bytes) -> int | None:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return None


def reason_of(head: bytes, body: bytes) -> str | None:
    """The reason code of the proxy's own problem+json; None for anything else."""
    if b"application/problem+json" not in head.lower():
        return None
    try:
        problem, _ = json.JSONDecoder().raw_decode(body[max(0, body.find(b"{")) :].decode())
    except ValueError:
        return None
    reason = problem.get("reason_code")
    return str(reason) if reason else None
