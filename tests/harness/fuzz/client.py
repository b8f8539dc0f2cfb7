"""Sends a case to the worker: what goes through its doors, TLS included, in the order that the case says."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl

from tests.harness.fuzz.cases import Case
from tests.harness.fuzz.place import Place

ANSWER_S = 0.12
"""How long an answer is waited for, where one is."""
CASE_S = 4.0
"""How long one case may take; then it hangs up."""


async def send(place: Place, case: Case) -> str:
    """Send one case, hang up, and tell how it ended: `closed`, `open` or `refused`."""
    try:
        async with asyncio.timeout(CASE_S):
            if case.door == "datagram":
                return await _send_datagrams(place, case)
            return await _send_stream(place, case)
    except TimeoutError:
        return "open"
    except (OSError, EOFError, ssl.SSLError):
        return "closed"


async def _send_datagrams(place: Place, case: Case) -> str:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (place.worker, place.doors[case.door]))
        for step in case.steps:
            with contextlib.suppress(OSError):
                await loop.sock_sendall(sock, step.data)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await loop.sock_recv(sock, 4096)
    return "open"


async def _send_stream(place: Place, case: Case) -> str:
    reader, writer = await asyncio.open_connection(place.worker, place.doors[case.door])
    try:
        line = Line(reader, writer)
        if case.connect and not await line.tunnel(case.connect):
            return "refused"
        if case.server_name:
            await line.secure(case.server_name, case.alpn)
        for step in case.steps:
            await line.say(step.data, is_raw=step.is_raw)
            if step.waits:
                await line.hear()
        return "closed" if await line.hear() else "open"
    finally:
        writer.transport.abort()


class Line:
    """A connection to the worker, with TLS in it or without."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None

    async def tunnel(self, authority: str) -> bool:
        """CONNECT; whether it was answered 200."""
        self._writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        return (await self._reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")

    async def secure(self, name: str, alpn: str) -> None:
        """A whole handshake. Raises OSError, SSLError."""
        self._tls = _context(alpn).wrap_bio(self._in, self._out, server_hostname=name)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._writer.write(self._out.read())
                if not (data := await self._reader.read(1 << 16)):
                    raise ConnectionError("closed in the handshake") from None
                self._in.write(data)
            else:
                self._writer.write(self._out.read())
                return

    async def say(self, data: bytes, *, is_raw: bool) -> None:
        """Write the bytes, below TLS where they are to be raw."""
        if self._tls is None or is_raw:
            self._writer.write(data)
        elif data:
            self._tls.write(data)
            self._writer.write(self._out.read())
        await self._writer.drain()
        await asyncio.sleep(0)

    async def hear(self) -> bool:
        """Read what comes until nothing does for a moment; whether the worker has closed."""
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(ANSWER_S):
                    if not (data := await self._reader.read(1 << 16)):
                        return True
                if self._tls is not None:  # what it says must reach OpenSSL, which answers key updates
                    self._in.write(data)
                    with contextlib.suppress(ssl.SSLError):
                        while self._tls.read(1 << 16):
                            pass
        return False


@functools.cache
def _context(alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = (
        False,
        ssl.CERT_NONE,
    )  # whom it speaks with is its own worker
    if alpn:
        context.set_alpn_protocols([alpn])
    return context
