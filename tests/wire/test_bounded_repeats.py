"""What a client can do again and again, though nothing comes of it: counted, whatever it is."""

from __future__ import annotations

import asyncio

import h2.errors
import pytest

from proxy.policy import limits
from tests.wire.budgets import budget, get, meter
from tests.wire.conftest import Rig
from tests.wire.h2_client import H2
from tests.wire.raw import open_door, refusals, send
from tests.wire.test_http2 import head


def malformed(rig: Rig, kind: str) -> list[tuple[str, str]]:
    """The headers of a stream that is refused for its own sake."""
    good = head(rig, "ok.test", "/")
    match kind:
        case "a method in small letters":
            return [(name, "get" if name == ":method" else value) for name, value in good]
        case "too many headers":
            return [*good, *[("a", "b")] * 257]
        case _:
            return [*good, ("content-length", "+1")]


@pytest.mark.parametrize("kind", ["a method in small letters", "too many headers", "an odd length"])
async def test_malformed_streams_count_as_requests(rig: Rig, kind: str):
    """A9: what is over the budget ends the connection, and the next request is over it too."""
    await budget(rig, requests_per_minute=5)
    peer = await H2(rig).open()
    for _ in range(20):
        stream = peer.connection.get_next_available_stream_id()
        peer.connection.send_headers(stream, malformed(rig, kind), end_stream=True)
    peer.flush()
    assert await peer.until_closed() == [h2.errors.ErrorCodes.ENHANCE_YOUR_CALM]
    assert refusals(rig)[:6] == ["bad_request"] * 5 + ["budget_requests"]
    assert len(refusals(rig)) < 9
    assert b" 429 " in await get(rig, "host")


async def test_malformed_heads_count_as_requests(rig: Rig):
    """A9: the same over HTTP/1, each on a connection of its own."""
    await budget(rig, requests_per_minute=2)
    for status in (b" 400 ", b" 400 ", b" 429 "):
        assert status in await send(rig, "host", b"GET  / HTTP/1.1\r\n\r\n")
    assert refusals(rig) == ["bad_request", "bad_request", "budget_requests"]


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\0", b""], ids=["hello", "noise", "none"]
)
@pytest.mark.parametrize("door", ["explicit", "sni", "host"])
async def test_connections_are_counted_whatever_comes_of_them(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, sent: bytes, door: str
):
    """A9: ClientHellos that fail, noise and silence; beyond the bound a connection is closed unread."""
    monkeypatch.setattr(limits, "CONNECTIONS_PER_MINUTE", 5)
    for _ in range(5):
        _, writer = await open_door(rig, door)
        writer.write(sent)
        writer.close()
    meters = rig.server.hooks.clients.meters
    async with asyncio.timeout(30):
        while not meter(rig)._opened.is_full(5, meters.clock()) or meter(rig).connections:
            await asyncio.sleep(0.01)
    await rig.settled()
    before = refusals(rig)
    assert "budget_connections" not in before
    assert await get(rig, "host") == b""
    assert refusals(rig)[len(before) :] == ["budget_connections"]
    meters.clock = lambda: asyncio.get_running_loop().time() + 61
    assert b" 200 " in await get(rig, "host")


@pytest.mark.parametrize("kind", ["pings", "settings", "priorities", "unknown frames"])
async def test_control_frames_are_counted(rig: Rig, monkeypatch: pytest.MonkeyPatch, kind: str):
    """A9: frames that belong to no request are bounded on each connection."""
    monkeypatch.setattr("proxy.layers.http2.MAX_CONTROL_FRAMES_PER_MINUTE", 50)
    peer = await H2(rig).open()
    for number in range(100):
        match kind:
            case "pings":
                peer.connection.ping(bytes(8))
            case "settings":
                peer.connection.update_settings({4: 70_000 + number})
            case "priorities":
                peer.connection.prioritize(2 * number + 1, weight=9)
    peer.flush()
    if kind == "unknown frames":
        peer.writer.write((b"\0\0\0\x77\0\0\0\0\0") * 100)
    assert await peer.until_closed() == [h2.errors.ErrorCodes.ENHANCE_YOUR_CALM]
    assert refusals(rig) == ["bad_request"]
