"""HTTP/2's windows: what waits is bytes in one buffer, and room is given back for what is not held."""

from __future__ import annotations

from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from mitmproxy.proxy.layers.http._http2 import Http2Server

from proxy.layers.paced import PacedH2Connection

REQUEST = [(":method", "POST"), (":scheme", "https"), (":authority", "ok.test"), (":path", "/")]


class Pair:
    """A paced server and an ordinary client, joined without a socket."""

    def __init__(self, window: int = 65535) -> None:
        self.client = h2.connection.H2Connection()
        self.client.local_settings.initial_window_size = window
        self.client.local_settings.acknowledge()
        self.server = PacedH2Connection(Http2Server.h2_conf)
        self.server.narrow(stream_bytes=100_000, connection_bytes=1_000_000)
        self.seen: list[Any] = []
        self.got: list[Any] = []
        self.client.initiate_connection()
        self.server.initiate_connection()
        self.pump()

    def pump(self) -> list[Any]:
        """Exchange all that is to send; what the client saw."""
        while self._turn():
            pass
        return self.seen

    def _turn(self) -> bool:
        up, down = self.client.data_to_send(), self.server.data_to_send()
        if up:
            self.got = self.server.receive_data(up)
        if down:
            self.seen += self.client.receive_data(down)
        return bool(up or down)

    def request(self) -> int:
        """A stream on which both sides may send."""
        stream = self.client.get_next_available_stream_id()
        self.client.send_headers(stream, REQUEST)
        self.pump()
        self.server.send_headers(stream, [(":status", "200")])
        self.pump()
        return stream

    def body(self) -> bytes:
        """What the client got."""
        return b"".join(e.data for e in self.seen if isinstance(e, h2.events.DataReceived))

    def is_ended(self) -> bool:
        """Whether the client saw an end."""
        return any(isinstance(e, h2.events.StreamEnded) for e in self.seen)


def test_what_waits_is_one_buffer_and_goes_in_whole_frames() -> None:
    """Pieces of a byte are joined while they wait."""
    pair = Pair(window=0)
    stream = pair.request()
    for _ in range(20_000):
        pair.server.send_data(stream, b"x")
    pair.server.end_stream(stream)
    assert pair.server.unsent() == 20_000
    pair.client.increment_flow_control_window(30_000, stream)
    pair.pump()
    assert pair.body() == b"x" * 20_000
    assert pair.server.unsent() == 0
    assert pair.is_ended()
    assert sum(isinstance(e, h2.events.DataReceived) for e in pair.seen) == 2


@pytest.mark.parametrize("size", [1, 16_384, 16_385, 65_535])
def test_an_end_needs_no_window(size: int) -> None:
    """A body that just fills the window ends; an empty one too."""
    pair = Pair(window=size)
    stream = pair.request()
    pair.server.send_data(stream, bytes(size))
    pair.server.end_stream(stream)
    pair.pump()
    assert (len(pair.body()), pair.is_ended()) == (size, True)


def test_a_window_below_zero_waits() -> None:
    """A peer may shrink its windows under what was sent (RFC 9113 section 6.9.2)."""
    pair = Pair()
    stream = pair.request()
    pair.server.send_data(stream, bytes(60_000))
    pair.client.update_settings({4: 100})
    pair.pump()
    pair.server.send_data(stream, b"y")
    assert pair.server.unsent() == 1
    pair.client.increment_flow_control_window(60_000, stream)
    pair.pump()
    assert pair.body().endswith(b"y")


def test_trailers_go_behind_what_waits() -> None:
    """They are not subject to windows, the body before them is."""
    pair = Pair(window=10)
    stream = pair.request()
    pair.server.send_data(stream, bytes(20))
    pair.server.send_trailers(stream, [(b"x-sum", b"1")])
    pair.server.end_stream(stream)
    pair.pump()
    assert not pair.is_ended()
    pair.client.increment_flow_control_window(10, stream)
    pair.pump()
    assert (len(pair.body()), pair.is_ended()) == (20, True)


def test_a_stream_that_is_reset_holds_nothing() -> None:
    """By either side; what comes for it later is dropped."""
    for reset in ("client", "server"):
        pair = Pair(window=0)
        stream = pair.request()
        pair.server.send_data(stream, b"x")
        getattr(pair, reset).reset_stream(stream)
        pair.pump()
        assert pair.server.unsent() == 0
        pair.server.send_data(stream, b"x")
        assert pair.server.unsent() == 0


def test_room_is_given_back_for_what_is_not_held() -> None:
    """Of 100,000 bytes that came 30,000 are still held: the stream may send 70,000 more."""
    pair = Pair()
    stream = pair.request()
    for _ in range(100):
        pair.client.send_data(stream, bytes(1000))
    pair.pump()
    assert sum(len(e.data) for e in pair.got if isinstance(e, h2.events.DataReceived)) == 100_000
    assert pair.client.local_flow_control_window(stream) == 0
    pair.server.acknowledge_received_data(100_000, stream)
    pair.server.give_room({stream: 30_000})
    pair.pump()
    assert pair.client.local_flow_control_window(stream) == 70_000
    pair.server.give_room({})
    for _ in range(70):
        pair.client.send_data(stream, bytes(1000))
    pair.pump()
    pair.server.acknowledge_received_data(70_000, stream)
    pair.server.give_room({})
    pair.pump()
    assert pair.client.local_flow_control_window(stream) == 100_000


def test_frames_that_come_at_one_time_are_one_event() -> None:
    """Interleaved or not; the end and the length in windows are kept."""
    pair = Pair()
    first, second = pair.request(), pair.request()
    for _ in range(500):
        pair.client.send_data(first, b"a")
        pair.client.send_data(second, b"b", pad_length=3)
    pair.client.end_stream(first)
    pair.pump()
    data = [e for e in pair.got if isinstance(e, h2.events.DataReceived)]
    assert [e.data for e in data] == [b"a" * 500, b"b" * 500]
    assert [e.flow_controlled_length for e in data] == [500, 500 * 5]
    assert [e.stream_id for e in pair.got if isinstance(e, h2.events.StreamEnded)] == [first]
