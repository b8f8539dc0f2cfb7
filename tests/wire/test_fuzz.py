"""Mutated bytes at each door: no crash, no hang, no way out, nothing left behind. Seeded and bounded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random

import pytest

from tests.wire.conftest import Rig
from tests.wire.raw import SMUGGLED, request_line
from tests.wire.test_protocol_corpus import (
    BAD_CHUNKS,
    BAD_CONNECTS,
    BAD_HEADS,
    BAD_LINES,
    FORWARDED,
    NOT_HTTP,
)
from tests.wire.test_tls_corpus import BAD_HELLOS, GOOD_HELLOS

INPUTS = 300
AT_ONCE = 20
PIECES = (
    b"\r\n", b"\n", b"\r", b"\x00", b" ", b"\t", b":", b"\r\n\r\n", b"\r\n ", b"0\r\n\r\n", b"%00", b"@", b"\xff", b"CONNECT ", b"HTTP/1.1",
    b"Host: evil.test\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"\x16\x03\x01", b"ok.test", b"evil.test",
)  # fmt: skip


def corpus(rig: Rig, door: str) -> list[bytes]:
    """What the tables attack with, as whole inputs for that door."""
    line, post = request_line(rig, door), request_line(rig, door, "POST")
    target, host = line.split()[1], line.split(b"\r\n")[1]
    return [
        line + b"\r\n",
        (line + b"\r\n") * 3,
        *(post + rest for rest, _ in BAD_HEADS.values() if len(rest) < 5000),
        *(bad.replace(b"{target}", target) + b"\r\n" + host + b"\r\n\r\n" for bad in BAD_LINES.values()),
        *(b"CONNECT " + name + b" HTTP/1.1\r\n\r\n" for name, _ in BAD_CONNECTS.values() if len(name) < 5000),
        *(post + b"Transfer-Encoding: chunked\r\n\r\n" + body + SMUGGLED for body in BAD_CHUNKS.values()),
        *(line + more + b"\r\n" for more, _ in FORWARDED.values()),
        *NOT_HTTP.values(),
        *(hello for hello, _ in BAD_HELLOS.values() if len(hello) < 5000),
        *(hello for hello in GOOD_HELLOS.values() if len(hello) < 5000),
    ]


def mutate(rng: random.Random, seeds: list[bytes]) -> bytes:
    """One to six changes: bytes flipped, cut, doubled, inserted, or spliced from another input."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + rng.randint(1, 8)]
            case 2:
                data[at:at] = data[at : at + rng.randint(1, 16)]
            case 3:
                data[at:at] = rng.choice(PIECES)
            case _:
                other = rng.choice(seeds)
                data[at:] = other[rng.randrange(len(other)) :]
    return bytes(data)


async def throw(rig: Rig, door: str, data: bytes) -> None:
    """Send it in two pieces, read what comes for a moment, and leave."""
    reader, writer = await asyncio.open_connection("127.0.0.1", getattr(rig.settings, f"{door}_port"))
    try:
        with contextlib.suppress(ConnectionError):
            half = len(data) // 2
            writer.write(data[:half])
            await writer.drain()
            writer.write(data[half:])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    while await reader.read(1 << 16):
                        pass
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("door", ["explicit", "host", "sni"])
async def test_mutated_bytes_open_nothing(rig: Rig, door: str, caplog: pytest.LogCaptureFixture):
    """Whatever is sent: only whole allowed requests go upstream, nothing crashes, hangs or stays."""
    caplog.set_level(logging.ERROR)
    rng, seeds = random.Random(f"orchbox-{door}"), corpus(rig, door)
    inputs = [mutate(rng, seeds) for _ in range(INPUTS)]
    for at in range(0, INPUTS, AT_ONCE):
        await asyncio.gather(*(throw(rig, door, data) for data in inputs[at : at + AT_ONCE]))
    await _quiet(rig)

    allowed = [line for line in rig.lines if line["verdict"] == "allow"]
    assert {line["host"] for line in allowed} <= {"ok.test"}
    assert len(rig.upstream.heads) <= len(allowed)
    assert rig.lookups == []
    assert door == "sni" or rig.upstream.heads, "the seeds hold allowed requests, and some stay so"
    for text in rig.upstream.heads:
        assert f"\r\nhost: ok.test:{rig.upstream.plain_port}\r\n" in text.lower()
        assert "evil.test" not in text.partition("\r\n")[0]
    assert [record.getMessage() for record in caplog.records] == []
    assert "internal_error" not in {line["reason_code"] for line in rig.lines}
    assert len(rig.lines) + sum(line["suppressed"] for line in rig.lines) > INPUTS // 4


async def _quiet(rig: Rig) -> None:
    """Until no connection, no session and no counted connection is left."""
    server = rig.server.master.addons.get("proxyserver")
    async with asyncio.timeout(60):
        while (
            rig.server.hooks.clients.sessions
            or server.connections
            or rig.server.hooks.clients.meters.of("run-1").connections
        ):
            await asyncio.sleep(0.02)
    await rig.settled()
