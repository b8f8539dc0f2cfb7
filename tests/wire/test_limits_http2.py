"""Limits of one HTTP/2 connection: streams, resets and header blocks without an end."""

from __future__ import annotations

import asyncio

import h2.errors
import h2.settings
import pytest

from proxy.policy import limits
from tests.wire.budgets import budget
from tests.wire.conftest import Rig
from tests.wire.h2_client import H2
from tests.wire.raw import refusals
from tests.wire.test_http2 import head


async def test_streams_at_one_time_are_bounded_and_announced(rig: Rig):
    """The settings say 100; a client that opens more is cut off with one line."""
    peer = await H2(rig).open()
    assert peer.connection.remote_settings.max_concurrent_streams == limits.MAX_STREAMS

    peer.connection.remote_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
    peer.connection.remote_settings.acknowledge()
    for _ in range(limits.MAX_STREAMS + 1):
        stream = peer.connection.get_next_available_stream_id()
        peer.connection.send_headers(stream, head(rig, "ok.test", "/", "POST"))
    peer.flush()

    assert await peer.until_closed() != []
    assert "bad_request" in refusals(rig)


async def test_rapid_reset_ends_the_connection(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """CVE-2023-44487: streams opened and taken back are counted; beyond the bound the connection ends."""
    monkeypatch.setattr("proxy.layers.http2.MAX_RESETS_PER_MINUTE", 20)
    peer = await H2(rig).open()
    for _ in range(30):
        stream = peer.connection.get_next_available_stream_id()
        peer.connection.send_headers(stream, head(rig, "ok.test", "/", "POST"))
        peer.connection.reset_stream(stream)
    peer.flush()

    assert await peer.until_closed() == [h2.errors.ErrorCodes.ENHANCE_YOUR_CALM]
    assert refusals(rig) == ["bad_request"]


async def test_header_block_without_an_end_is_bounded(rig: Rig):
    """CONTINUATION frames pile up to a bound only, far below the 8 MiB that mitmproxy would hold."""
    peer = await H2(rig).open()
    frame = b"\x00" * 16_000
    peer.writer.write(len(frame).to_bytes(3, "big") + b"\x01\x00" + (1).to_bytes(4, "big") + frame)
    for _ in range(6):
        peer.writer.write(len(frame).to_bytes(3, "big") + b"\x09\x00" + (1).to_bytes(4, "big") + frame)

    assert await peer.until_closed() == [h2.errors.ErrorCodes.ENHANCE_YOUR_CALM]
    assert refusals(rig) == ["bad_request"]


async def test_unfinished_header_block_is_timed(rig: Rig):
    """A header block that is sent slowly is a slow head like any other."""
    peer = await H2(rig).open()
    peer.writer.write((4).to_bytes(3, "big") + b"\x01\x00" + (1).to_bytes(4, "big") + b"\x82\x84\x86\x41")
    async with asyncio.timeout(30):
        while not any(s.deadline for s in rig.server.hooks.clients.sessions.values()):
            await asyncio.sleep(0.01)
    [session] = rig.server.hooks.clients.sessions.values()
    assert session.deadline is not None
    session.deadline = session.deadline._replace(at=0.0)

    rig.server.sweep()
    await peer.until_closed()

    assert refusals(rig) == ["bad_request"]


async def test_tunnels_beyond_the_budget_are_429(rig: Rig):
    """They count whether anything is said in them or not, and the next one is told."""
    await budget(rig, tunnels_per_minute=2)
    got = [await rig.connect(f"ok.test:{rig.upstream.tls_port}") for _ in range(3)]

    assert [b" 200 " in answer.partition(b"\r\n")[0] for answer in got] == [True, True, False]
    assert b" 429 " in got[-1].partition(b"\r\n")[0]
    assert refusals(rig) == ["budget_requests"]
