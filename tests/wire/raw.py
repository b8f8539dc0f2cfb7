"""Raw bytes at each door of the proxy, as a client that obeys no protocol sends them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from tests.wire.conftest import Rig

SMUGGLED = b"GET http://evil.test/smuggled HTTP/1.1\r\nHost: evil.test\r\n\r\n"


async def open_door(rig: Rig, door: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection: to a port, or through a tunnel to ok.test with TLS in it."""
    if door != "tunnel":
        return await rig.open(getattr(rig.settings, f"{door}_port"))
    reader, writer = await open_tunnel(rig, f"ok.test:{rig.upstream.tls_port}")
    context = ssl.create_default_context(cadata=rig.link.ca_pem)
    await asyncio.wait_for(writer.start_tls(context, server_hostname="ok.test"), 30)
    return reader, writer


async def open_tunnel(
    rig: Rig, authority: str, head: str = ""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A CONNECT that was answered 200."""
    reader, writer = await rig.open(rig.settings.explicit_port)
    writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{head}\r\n".encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return reader, writer


def request_line(rig: Rig, door: str, method: str = "GET") -> bytes:
    """The first line of an allowed request at that door, with the Host header's value behind it."""
    host = f"ok.test:{rig.upstream.tls_port if door == 'tunnel' else rig.upstream.plain_port}"
    target = f"http://{host}/" if door == "explicit" else "/"
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n".encode()


async def send(rig: Rig, door: str, raw: bytes, *, until_close: bool = True) -> bytes:
    """Send the bytes; what comes back until the proxy closes (or until nothing more comes)."""
    reader, writer = await open_door(rig, door)
    got = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        writer.write(raw)
        if until_close:
            got = await asyncio.wait_for(reader.read(), 30)
        else:
            got = await rig.until_quiet(reader)
    writer.close()
    await rig.settled()
    return got


def refusals(rig: Rig) -> list[str]:
    """The reason of every refusal on record."""
    return [line["reason_code"] for line in rig.lines if line["verdict"] == "deny"]
