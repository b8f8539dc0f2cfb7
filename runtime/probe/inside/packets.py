"""Attempts below HTTP: TCP, UDP and DNS straight to an address."""

from __future__ import annotations

import secrets
import socket
import struct
from pathlib import Path
from typing import Any

from .trail import Trail

WAIT_S = 2.0
TYPES = {"A": 1, "NULL": 10, "PTR": 12, "TXT": 16, "AAAA": 28, "HTTPS": 65, "ANY": 255}


def tcp(args: dict[str, Any], _trail: Trail) -> dict[str, Any]:
    """Connect to an address; a connection is an escape whatever is said on it."""
    try:
        with socket.create_connection((args["address"], int(args["port"])), timeout=WAIT_S) as connection:
            connection.settimeout(0.5)
            return {"outcome": "connected", "detail": f"connected to {args['address']}:{args['port']}"}
    except OSError as error:
        return {"outcome": "silent", "detail": str(error)}


def udp(args: dict[str, Any], _trail: Trail) -> dict[str, Any]:
    """Send a datagram and wait for an answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(WAIT_S)
        if args.get("broadcast"):
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        try:
            sender.sendto(args.get("payload", "probe").encode(), (args["address"], int(args["port"])))
            answer = sender.recv(2048)
        except OSError as error:
            return {"outcome": "silent", "detail": str(error)}
    return {"outcome": "answered", "detail": f"answered {answer[:40]!r}"}


def dns(args: dict[str, Any], _trail: Trail) -> dict[str, Any]:
    """Ask a resolver one question of any type and class, over UDP or TCP."""
    kind = TYPES.get(args["type"], 0) or int(args["type"])
    query = question(args["name"], kind, int(args.get("klass", 1)))
    try:
        server = (args.get("server") or own_resolver(), int(args.get("port", 53)))
        reply = _ask_tcp(query, server) if args.get("transport") == "tcp" else _ask_udp(query, server)
    except OSError as error:
        return {"outcome": "silent", "detail": str(error)}
    if len(reply) < 12:
        return {"outcome": "silent", "detail": "no reply"}
    flags, _, answers = struct.unpack_from("!HHH", reply, 2)
    outcome = "resolved" if answers else "nxdomain"
    return {"outcome": outcome, "detail": f"rcode {flags & 15}, {answers} answers"}


def own_resolver() -> str:
    """The address that the sandbox's programs ask for names (resolv.conf(5)). Raises OSError without one."""
    for line in Path("/etc/resolv.conf").read_text().splitlines():
        words = line.split()
        if words[:1] == ["nameserver"]:
            return words[1]
    raise OSError("no name server in /etc/resolv.conf")


def question(name: str, kind: int, klass: int) -> bytes:
    """A query with one question; a label of any bytes, latin-1."""
    labels = [label.encode("latin-1") for label in name.rstrip(".").split(".")]
    encoded = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return (
        struct.pack("!HHHHHH", secrets.randbelow(65536), 0x0100, 1, 0, 0, 0)
        + encoded
        + struct.pack("!HH", kind, klass)
    )


def _ask_udp(query: bytes, server: tuple[str, int]) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(WAIT_S * 2)
        sender.connect(server)
        sender.send(query)
        return sender.recv(4096)


def _ask_tcp(query: bytes, server: tuple[str, int]) -> bytes:
    with socket.create_connection(server, timeout=WAIT_S * 2) as connection:
        connection.sendall(struct.pack("!H", len(query)) + query)
        size = connection.recv(2)
        return connection.recv(struct.unpack("!H", size)[0]) if len(size) == 2 else b""
