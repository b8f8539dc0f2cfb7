"""What is held for the sake of an HTTP/2 window that stays shut, or of a header block: bounded."""

from __future__ import annotations

import asyncio

import h2.connection
import h2.events
import pytest

from proxy.layers import paced
from proxy.policy import limits
from tests.wire.conftest import Rig
from tests.wire.h2_client import H2
from tests.wire.h2_upstream import H2Upstream
from tests.wire.memory import MIB, peak_memory
from tests.wire.raw import refusals
from tests.wire.test_http2 import head


async def push_streams(peer: H2, streams: list[int], size: int) -> None:
    """Send a body on each stream as far as the windows go, until nothing more is let in."""
    left = dict.fromkeys(streams, size)
    idle = 0
    while any(left.values()) and idle < 5:
        moved = False
        for stream in streams:
            room = min(left[stream], peer.connection.local_flow_control_window(stream), 16384)
            if room > 0:
                left[stream] -= room
                peer.connection.send_data(stream, bytes(room), end_stream=not left[stream])
                moved = True
        peer.flush()
        if moved:
            idle = 0
            continue
        try:
            async with asyncio.timeout(0.05):
                await peer.read()
        except TimeoutError:
            await peer.rig.settled()
            idle += 1


def begin(rig: Rig, peer: H2, path: str) -> int:
    """A POST whose body is to come."""
    stream = peer.connection.get_next_available_stream_id()
    peer.connection.send_headers(stream, head(rig, "ok.test", path, "POST"))
    peer.flush()
    return stream


@pytest.mark.parametrize(
    ("count", "most_streams"), [(1, None), (30, None), (30, 10)], ids=["one stream", "many", "ten allowed"]
)
async def test_uploads_wait_for_an_http2_upstream(
    rig: Rig, far: H2Upstream, count: int, most_streams: int | None
):
    """A1: 300 MiB for an upstream that never opens its window wait at the client, by its windows."""
    far.streams = most_streams
    peer = await H2(rig).open()
    peer.connection.end_stream(begin(rig, peer, "/first"))  # what follows shares its connection
    peer.flush()
    while not any(isinstance(e, h2.events.StreamEnded) for e in peer.events):
        await peer.read()
    streams = [begin(rig, peer, f"/{number}") for number in range(count)]
    with peak_memory() as peak:
        await push_streams(peer, streams[most_streams or 0 :], 300 * MIB // count)
    assert peak.held < 16 * MIB
    [session] = rig.server.hooks.clients.sessions.values()
    assert 0 < sum(session.unsent_up.values()) <= limits.CONNECTION_WINDOW_BYTES + count * 65536
    assert sum(far.received.values()) == (0 if most_streams else 65535)
    peer.writer.transport.abort()


async def test_a_blocked_http2_upload_leaves_its_neighbours_free(rig: Rig, far: H2Upstream):
    """A1: one stream waits, the others of the same connection go on, and its own end is heard."""
    far.takes = lambda path: path != "/blocked"
    peer = await H2(rig).open()
    blocked, free = begin(rig, peer, "/blocked"), begin(rig, peer, "/free")
    await push_streams(peer, [blocked], 8 * MIB)
    assert far.received["/blocked"] == 65535
    far.connection.increment_flow_control_window(65535)
    far.writers[-1].write(far.connection.data_to_send())
    await push_streams(peer, [free], 4 * MIB)
    while not any(isinstance(e, h2.events.StreamEnded) for e in peer.events):
        await peer.read()
    assert far.received["/free"] == 4 * MIB
    peer.connection.reset_stream(blocked)
    peer.flush()
    [session] = rig.server.hooks.clients.sessions.values()
    async with asyncio.timeout(30):
        while session.unsent_up:
            await asyncio.sleep(0.02)
    peer.writer.transport.abort()


async def test_one_byte_chunks_for_a_closed_window_are_held_as_bytes(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
):
    """A8: 60,000 chunks of a byte are 60,000 bytes in memory, and not so many frames when they go."""
    count = 60_000
    frames = []
    send = h2.connection.H2Connection.send_data

    def counted(
        self: h2.connection.H2Connection, stream_id: int, data: bytes, *more: object, **named: object
    ) -> None:
        if isinstance(self, paced.PacedH2Connection):
            frames.append(len(data))
        send(self, stream_id, data, *more, **named)

    monkeypatch.setattr(h2.connection.H2Connection, "send_data", counted)
    rig.upstream.response = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * count + b"0\r\n\r\n"
    )
    peer = H2(rig)
    peer.connection.local_settings.initial_window_size = 0
    peer.connection.local_settings.acknowledge()
    await peer.open()
    with peak_memory() as peak:
        stream = peer.connection.get_next_available_stream_id()
        peer.connection.send_headers(stream, head(rig, "ok.test", "/"), end_stream=True)
        peer.flush()
        [session] = rig.server.hooks.clients.sessions.values()
        async with asyncio.timeout(30):
            while session.unsent() < count:
                await asyncio.sleep(0.02)
    assert peak.held < 4 * MIB
    assert not frames

    got = 0
    peer.connection.increment_flow_control_window(count, stream)
    peer.connection.increment_flow_control_window(count)
    peer.flush()
    while got < count:
        seen = len(peer.events)
        await peer.read()
        got += sum(len(e.data) for e in peer.events[seen:] if isinstance(e, h2.events.DataReceived))
    assert got == count
    assert len(frames) < 50
    peer.writer.transport.abort()


async def test_an_http2_upstreams_header_block_is_bounded(rig: Rig, far: H2Upstream):
    """A7: CONTINUATION frames are held until the last one has come."""
    piece = bytes(65536)

    def answer(connection: h2.connection.H2Connection, stream: int) -> None:
        writer = far.writers[-1]
        writer.write(connection.data_to_send())
        for number in range(60):
            kind = 9 if number else 1
            writer.write(len(piece).to_bytes(3) + bytes([kind, 0]) + stream.to_bytes(4) + piece)

    far.answer = answer
    peer = await H2(rig).open()
    with peak_memory() as peak:
        stream = peer.connection.get_next_available_stream_id()
        peer.connection.send_headers(stream, head(rig, "ok.test", "/"), end_stream=True)
        peer.flush()
        while not any(isinstance(e, h2.events.ResponseReceived) for e in peer.events):
            await peer.read()
    assert peak.held < 12 * MIB  # the test's own 4 MiB among it
    await rig.settled()
    assert "bad_answer" in refusals(rig)
    peer.writer.transport.abort()
