"""A DNS responder over UDP and TCP: answers from the zone, writes down every question. Stdlib only."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from dataclasses import dataclass
from typing import cast

from runtime.canary.seen import Query
from runtime.canary.world import World

_RCODES = {"NXDOMAIN": 3, "SERVFAIL": 2, "REFUSED": 5}
_TYPES = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    10: "NULL",
    12: "PTR",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    255: "ANY",
}


class MalformedQueryError(ValueError):
    """The bytes are no DNS query with one question."""


@dataclass(frozen=True, slots=True)
class Question:
    """The one question of a query."""

    id: int
    flags: int
    name: str
    type: int
    raw: bytes
    """The question section as sent, to be repeated in the reply."""


def parse_query(data: bytes) -> Question:
    """Read a query. Raises MalformedQueryError."""
    if len(data) < 17:
        raise MalformedQueryError("too short")
    query_id, flags, count = struct.unpack_from("!HHH", data)
    if flags & 0x8000 or count != 1:
        raise MalformedQueryError("no query with one question")
    labels, at = [], 12
    while data[at]:
        size = data[at]
        label = data[at + 1 : at + 1 + size]
        at += 1 + size
        if size > 63 or len(label) < size or at >= len(data):
            raise MalformedQueryError("a label runs past the end")
        labels.append(label.decode("latin-1").lower())
    if len(data) < at + 5:
        raise MalformedQueryError("no type and class")
    (kind,) = struct.unpack_from("!H", data, at + 1)
    return Question(query_id, flags, ".".join(labels), kind, data[12 : at + 5])


def type_name(number: int) -> str:
    """The record type's mnemonic, TYPEn where it has none here."""
    return _TYPES.get(number, f"TYPE{number}")


def build_reply(question: Question, answers: list[str], *, ttl_s: int = 0) -> bytes:
    """The reply: addresses of the family asked for, or the failure that `answers` names."""
    rcode = _RCODES.get(answers[0], 0) if answers else 0
    records = b""
    count = 0
    for answer in [] if rcode else answers:
        address = ipaddress.ip_address(answer)
        if question.type == (1 if address.version == 4 else 28):
            packed = address.packed
            records += b"\xc0\x0c" + struct.pack("!HHIH", question.type, 1, ttl_s, len(packed)) + packed
            count += 1
    flags = 0x8480 | (question.flags & 0x0100) | rcode
    return struct.pack("!HHHHHH", question.id, flags, 1, count, 0, 0) + question.raw + records


def answer(world: World, data: bytes, transport: str) -> bytes | None:
    """Record a question and give its reply; None where nothing is to be said."""
    try:
        question = parse_query(data)
    except MalformedQueryError:
        world.seen.dns.append(Query(world.now(), "", "MALFORMED", transport))
        return None
    world.seen.dns.append(Query(world.now(), question.name, type_name(question.type), transport))
    answers = world.zone.take(question.name)
    return None if answers == ["DROP"] else build_reply(question, answers)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, world: World) -> None:
        self._world = world

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = answer(self._world, data, "udp")
        if reply is not None:
            self._transport.sendto(reply, addr)


async def serve_dns(world: World, udp: socket.socket, tcp: socket.socket) -> None:
    """Answer on both sockets until the loop ends."""
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Datagrams(world), sock=udp)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack("!H", await reader.readexactly(2))
                reply = answer(world, await reader.readexactly(size), "tcp")
                if reply is None:
                    return
                writer.write(struct.pack("!H", len(reply)) + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    await asyncio.start_server(serve, sock=tcp)
