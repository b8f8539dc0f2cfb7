"""The audit on the wire: each line names the connection that it is about."""

from __future__ import annotations

import asyncio

from tests.wire.conftest import Rig

ASKS = {
    "explicit_port": b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n",
    "host_port": b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n",
    "sni_port": b"SSH-2.0-x\r\n",
}


async def ask(rig: Rig, door: str) -> int:
    """One refused request; the source port it came from."""
    reader, writer = await rig.open(getattr(rig.settings, door))
    writer.write(ASKS[door])
    port: int = writer.get_extra_info("sockname")[1]
    await asyncio.wait_for(reader.read(1), 30)
    writer.close()
    return port


async def test_each_line_names_its_connection(rig: Rig):
    """`client_port` is the source port of the sandbox's connection, at every door."""
    ports = [await ask(rig, door) for door in ASKS]

    assert [line["client_port"] for line in rig.lines] == ports


async def test_a_connection_without_a_grant_is_named_too(rig: Rig):
    """What is closed at accept still tells which attempt it was."""
    await rig.link.revoke("run-1")

    port = await ask(rig, "explicit_port")

    assert [(line["reason_code"], line["client_port"]) for line in rig.lines] == [("no_grant", port)]
