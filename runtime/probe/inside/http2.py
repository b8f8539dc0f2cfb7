"""HTTP/2 by hand: requests whose headers say what no library would send (RFC 9113, RFC 7541)."""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

from .exchange import CONNECT_S, READ_S, Answers, _take
from .trail import Trail

_DATA, _HEADERS, _RESET, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_END_STREAM, _END_HEADERS = 1, 4
_STATUS_200 = 0x88


def http2(args: dict[str, Any], trail: Trail) -> dict[str, Any]:
    """Open `authority` by CONNECT and TLS with ALPN h2, then send each of `streams`: a list of [name, value].

    `resets` opens and resets so many streams more (CVE-2023-44487).
    """
    connection = trail.connect(args["to"][0], int(args["to"][1]), CONNECT_S)
    reader = Answers(connection)
    with connection:
        if not _take(reader, ["connect", args["authority"], args["auth"]]):
            return reader.seen()
        _take(reader, ["tls", {"sni": args["sni"], "alpn": ["h2"]}])
        secure = reader.connection
        hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(_SETTINGS, 0, 0, b"")
        for number, headers in enumerate(args["streams"]):
            hello += frame(_HEADERS, _END_HEADERS | _END_STREAM, 2 * number + 1, pack(headers))
        first = 2 * len(args["streams"]) + 1
        for number in range(int(args.get("resets", 0))):
            stream = first + 2 * number
            hello += frame(_HEADERS, _END_HEADERS, stream, pack(args["streams"][0]))
            hello += frame(_RESET, 0, stream, struct.pack("!I", 8))
        try:
            secure.sendall(hello)
        except OSError:
            return {"outcome": "closed", "detail": "cut while sending"}
        return _read(secure, len(args["streams"]))


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Write one HTTP/2 frame (RFC 9113 section 4.1)."""
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def pack(headers: list[list[str]]) -> bytes:
    """HPACK: every field a literal without indexing, nothing Huffman-coded."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in headers)


def _text(text: str) -> bytes:
    data = text.encode("latin-1")
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest, size = len(data) - 127, b"\x7f"
    while rest >= 128:
        size += bytes([rest % 128 + 128])
        rest //= 128
    return size + bytes([rest]) + data


def _read(secure: socket.socket, streams: int) -> dict[str, Any]:
    heads: dict[int, bytes] = {}
    bodies: dict[int, bytes] = {}
    ended: set[int] = set()
    events: list[str] = []
    buffer, until = b"", time.monotonic() + READ_S
    while len(ended) < streams and time.monotonic() < until and "GOAWAY" not in events:
        secure.settimeout(max(0.1, until - time.monotonic()))
        try:
            data = secure.recv(65536)
        except OSError:
            break
        if not data:
            events.append("closed")
            break
        buffer += data
        while len(buffer) >= 9 and len(buffer) >= 9 + (size := int.from_bytes(buffer[:3], "big")):
            kind, flags, stream = buffer[3], buffer[4], struct.unpack("!I", buffer[5:9])[0] & 0x7FFFFFFF
            payload, buffer = buffer[9 : 9 + size], buffer[9 + size :]
            if kind == _HEADERS:
                heads.setdefault(stream, payload)
            elif kind == _DATA:
                bodies[stream] = bodies.get(stream, b"") + payload
            elif kind in {_RESET, _GOAWAY}:
                events.append("RST_STREAM" if kind == _RESET else "GOAWAY")
                ended.add(stream)
            if kind in {_DATA, _HEADERS} and flags & _END_STREAM:
                ended.add(stream)
    return _seen(heads, bodies, events)


def _seen(heads: dict[int, bytes], bodies: dict[int, bytes], events: list[str]) -> dict[str, Any]:
    """A status is known from the proxy's own body, or as the one-byte 200; our refusals hold theirs."""
    statuses, reasons = [], []
    for stream in sorted(heads):
        try:
            problem = json.loads(bodies.get(stream, b""))
        except ValueError:
            problem = {}
        if isinstance(problem, dict) and str(problem.get("type", "")).startswith("urn:orchbox:"):
            statuses.append(int(problem["status"]))
            reasons.append(problem.get("reason_code"))
        else:
            statuses.append(200 if heads[stream][:1] == bytes([_STATUS_200]) else 599)
            reasons.append(None)
    outcome = "answered" if statuses else "closed" if events else "silent"
    return {
        "outcome": outcome,
        "detail": f"{statuses} {reasons} {events}",
        "statuses": statuses,
        "reasons": reasons,
    }
