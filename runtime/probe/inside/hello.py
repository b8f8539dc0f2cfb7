"""ClientHellos that no library would send: odd server names, extensions of one's own (RFC 8446, RFC 6066)."""

from __future__ import annotations

import os
import struct
from typing import Any

from .exchange import CONNECT_S, Answers, _take
from .trail import Trail

_ALERT, _HANDSHAKE = 21, 22


def hello(args: dict[str, Any], trail: Trail) -> dict[str, Any]:
    """Send a ClientHello, by CONNECT (`authority`) or straight to the port that judges by server name.

    `names`: list of [type, name]; `extra`: list of [extension, size] put before the server name;
    `records`: how many TLS records it is cut into; `doubled` sends the extension twice.
    """
    connection = trail.connect(args["to"][0], int(args["to"][1]), CONNECT_S)
    reader = Answers(connection)
    with connection:
        if args.get("authority") and not _take(reader, ["connect", args["authority"], args["auth"]]):
            return reader.seen()
        connection.sendall(client_hello(args))
        connection.settimeout(CONNECT_S)
        try:
            answer = connection.recv(4096)
        except TimeoutError:
            return {"outcome": "silent", "detail": "no answer to the ClientHello"}
        except OSError as error:
            return {"outcome": "closed", "detail": str(error)}
    if not answer or answer[0] == _ALERT:
        return {"outcome": "closed", "detail": f"alert {answer[5:7].hex()}" if answer else "closed"}
    outcome = "connected" if answer[0] == _HANDSHAKE else "silent"
    return {"outcome": outcome, "detail": f"record of type {answer[0]}"}


def client_hello(args: dict[str, Any]) -> bytes:
    """The bytes, in as many records as asked."""
    names = args.get("names")
    extensions = b"".join(extension(kind, bytes(size)) for kind, size in args.get("extra", ()))
    if names is not None:
        listed = b"".join(
            bytes([kind]) + struct.pack("!H", len(name)) + name.encode("latin-1") for kind, name in names
        )
        extensions += extension(0, struct.pack("!H", len(listed)) + listed) * (
            2 if args.get("doubled") else 1
        )
    extensions += extension(10, struct.pack("!HHH", 4, 0x001D, 0x0017))
    extensions += extension(13, struct.pack("!HHHH", 6, 0x0403, 0x0804, 0x0401))
    extensions += extension(43, b"\x02\x03\x04") + extension(
        51, struct.pack("!HHH", 36, 0x001D, 32) + os.urandom(32)
    )
    body = b"\x03\x03" + os.urandom(32) + b"\x20" + os.urandom(32) + struct.pack("!HHH", 4, 0x1301, 0xC02F)
    body += b"\x01\x00" + struct.pack("!H", len(extensions)) + extensions
    message = b"\x01" + struct.pack("!I", len(body))[1:] + body
    count = int(args.get("records", 1))
    size = min(16384, -(-len(message) // count))
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + struct.pack("!H", len(part)) + part for part in parts)


def extension(kind: int, data: bytes) -> bytes:
    """Write one TLS extension (RFC 8446 section 4.2)."""
    return struct.pack("!HH", kind, len(data)) + data
