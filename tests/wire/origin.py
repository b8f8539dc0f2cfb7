"""The origin behind every allowed name: TLS and plain, and what reaches it is counted and kept."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

UPSTREAM = "127.0.0.2"


@dataclass
class Upstream:
    """A TLS and a plain listener; every accept, server name and request head is kept."""

    tls_port: int = 0
    plain_port: int = 0
    ca_pem: str = ""
    accepts: int = 0
    server_names: list[str | None] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    body_bytes: int = 0
    body: bytearray = field(default_factory=bytearray)
    """All request bodies, one behind the other, also of requests that were cut off."""
    respond: Callable[[str, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None
    """Answers in place of `response`; it reads the body itself."""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    response: bytes = b'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nalt-svc: h3=":443"\r\n\r\nok'

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each request with `response`."""
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.heads.append(head)
                if self.respond is not None:
                    await self.respond(head, reader, writer)
                    continue
                for line in head.lower().split("\r\n"):
                    if line.startswith("content-length:"):
                        self.body_bytes += await self._read_body(reader, int(line.split(":")[1]))
                    if line == "transfer-encoding: chunked":
                        self.body_bytes += await self._read_chunks(reader)
                writer.write(self.response)
                await writer.drain()
        writer.close()

    async def _read_body(self, reader: asyncio.StreamReader, size: int) -> int:
        for left in range(size, 0, -1 << 16):
            try:
                self.body += await reader.readexactly(min(left, 1 << 16))
            except asyncio.IncompleteReadError as exc:
                self.body += exc.partial
                raise
        return size

    async def _read_chunks(self, reader: asyncio.StreamReader) -> int:
        total = 0
        while size := int(await reader.readuntil(b"\r\n"), 16):
            total += await self._read_body(reader, size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return total


async def close_all(writers: list[asyncio.StreamWriter]) -> None:
    """Close and wait: what the loop's end finds open is a ResourceWarning in whichever test comes next."""
    for writer in writers:
        writer.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


class _CountingSocket(socket.socket):
    upstream: Upstream

    def accept(self):
        accepted = super().accept()
        self.upstream.accepts += 1
        return accepted


def listener(upstream: Upstream) -> socket.socket:
    """A port of the upstream that counts who is accepted."""
    sock = _CountingSocket(socket.AF_INET, socket.SOCK_STREAM)
    sock.upstream = upstream
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((UPSTREAM, 0))
    sock.listen()
    return sock


def server_context(ca_cert: str, ca_key: str, folder: Path) -> ssl.SSLContext:
    """TLS with a certificate of that authority for the allowed names, kept in the folder as upstream.pem."""
    issuer = x509.load_pem_x509_certificate(ca_cert.encode())
    issuer_key = serialization.load_pem_private_key(ca_key.encode(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(n) for n in ("ok.test", "pass.test", "*.wild.test", "paths.test", "llm.test")]
    cert = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(issuer.not_valid_before_utc)
        .not_valid_after(issuer.not_valid_after_utc)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())  # type: ignore[arg-type]
    )
    pem = folder / "upstream.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + cert.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
