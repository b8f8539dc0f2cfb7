"""`python -m tests.harness.fuzz.hostile`: the upstream and the name server that the worker is led to.

stdin   {"seed", "place": [...]}
stdout  {"ca": pem} as soon as all of it listens
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import ssl
import sys
from collections import Counter

from runtime.canary.certificates import Authority
from tests.harness.fuzz import dns, http1, http2, tls, websocket
from tests.harness.fuzz.cases import dice
from tests.harness.fuzz.place import (
    BROKEN,
    BROKEN_PORT,
    HOSTILE,
    KEYED,
    PASSED,
    PATHS,
    PLAIN_PORT,
    TLS_PORT,
    Place,
)

HEAD_S, SAID_S = 5.0, 1.0
ANSWERS_PER_CONNECTION = 8
MAX_READ_BYTES = 8 << 20
_KEY = re.compile(r"(?im)^sec-websocket-key: *(\S+)")


class Hostile:
    """All that is at the other end of the worker."""

    def __init__(self, seed: str, place: Place, authority: Authority) -> None:
        self._seed = seed
        self._place = place
        self._authority = authority
        self._asked: Counter[str] = Counter()
        """How often a thing was asked for: who asks again may be luckier."""

    async def listen(self) -> None:
        """Open every port."""
        for name in (HOSTILE, PASSED, KEYED, PATHS):
            self._authority._context(name).set_alpn_protocols(["h2", "http/1.1"])
        secure = self._authority.server_context(lambda _connection, _name: None)
        secure.set_alpn_protocols(["h2", "http/1.1"])
        at, names = self._place.upstream, self._place.names
        await asyncio.start_server(self._serve, at, PLAIN_PORT)
        await asyncio.start_server(self._serve, at, TLS_PORT, ssl=secure, ssl_handshake_timeout=5)
        await asyncio.start_server(self._break_tls, at, BROKEN_PORT)
        await asyncio.start_server(self._serve_names, names, 53)
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: _Names(self), local_addr=(names, 53))

    def reply(self, asked: bytes) -> list[bytes]:
        """What the name server says to a question."""
        return dns.reply(self._dice("dns", asked[12:].hex()), self._place, asked)

    def _dice(self, *what: object):
        said = ":".join(map(str, what))
        self._asked[said] += 1
        return dice(self._seed, said, self._asked[said])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secure = writer.get_extra_info("ssl_object")
        with contextlib.suppress(OSError, EOFError, TimeoutError, ssl.SSLError, asyncio.LimitOverrunError):
            if secure is not None and secure.selected_alpn_protocol() == "h2":
                await _say(writer, http2.answer(self._dice("h2")))
                await _read_on(reader)
                return
            for _ in range(ANSWERS_PER_CONNECTION):
                async with asyncio.timeout(HEAD_S):
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                target = " ".join(head.split(" ", 2)[:2])
                key = _KEY.search(head)
                rng = self._dice("answer", target)
                stays = await _say(writer, websocket.answer(rng, key[1]) if key else http1.answer(rng))
                if key:
                    await _read_on(reader)
                if key or not stays:
                    return
        writer.transport.abort()

    async def _break_tls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A handshake whose every flight may be spoilt."""
        rng, context = self._dice("broken"), self._authority._context(BROKEN)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        speaking = context.wrap_bio(incoming, outgoing, server_side=True)
        with contextlib.suppress(OSError, EOFError, TimeoutError, ssl.SSLError):
            for _ in range(6):
                try:
                    speaking.do_handshake()
                    speaking.write(b"".join(http1.answer(rng)))
                except ssl.SSLWantReadError:
                    pass
                if flight := outgoing.read():
                    writer.write(tls.spoilt(rng, flight))
                async with asyncio.timeout(SAID_S):
                    if not (data := await reader.read(1 << 16)):
                        break
                incoming.write(data)
        writer.transport.abort()

    async def _serve_names(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(HEAD_S):
                asked = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            for said in self.reply(asked):
                writer.write(len(said).to_bytes(2) + said)
        writer.close()


class _Names(asyncio.DatagramProtocol):
    def __init__(self, hostile: Hostile) -> None:
        self._hostile = hostile

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for said in self._hostile.reply(data):
            self._transport.sendto(said[:1400], addr)  # type: ignore[attr-defined]


async def _say(writer: asyncio.StreamWriter, pieces: list[bytes]) -> bool:
    """Say the pieces, and tell whether the connection stays open; who does not take them is left."""
    for piece in pieces:
        writer.write(piece)
        async with asyncio.timeout(SAID_S):
            await writer.drain()
        await asyncio.sleep(0)
    if pieces and not pieces[-1]:
        return True
    writer.close()
    return False


async def _read_on(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(HEAD_S):
        left = MAX_READ_BYTES
        while left > 0 and (data := await reader.read(1 << 16)):
            left -= len(data)


async def main() -> None:
    """Serve until stdin ends."""
    os.nice(10)  # an attacker's own work must not keep the worker from the processor
    given = json.loads(sys.stdin.readline())
    authority = Authority()
    await Hostile(given["seed"], Place(*given["place"]), authority).listen()
    sys.stdout.write(json.dumps({"ca": authority.pem}) + "\n")
    sys.stdout.flush()
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, _context: None
    )  # its clients are rude, too
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
