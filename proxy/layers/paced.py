"""HTTP/2's windows: what waits for a peer is counted and joined, and a sender gets room when there is some.

mitmproxy 12.2 keeps each piece that a closed window holds back as an object of its own, counts none of it,
and gives a sender its room back at once, wherever the bytes have gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
from h2.stream import StreamState
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

_CAN_SEND = {StreamState.OPEN, StreamState.HALF_CLOSED_REMOTE}


@dataclass(slots=True)
class Waiting:
    """What a stream has yet to send."""

    data: bytearray = field(default_factory=bytearray)
    is_end: bool = False


class PacedH2Connection(BufferedH2Connection):
    """BufferedH2Connection with one buffer a stream, and windows that are ours to open."""

    stream_buffers: dict[int, Waiting]  # type: ignore[assignment]

    def __init__(self, config: h2.config.H2Configuration) -> None:
        super().__init__(config)
        self.stream_buffers = {}
        self._window: int | None = None
        self._owed: dict[int, int] = {}
        """Received bytes, by stream, whose room the sender has not got back."""

    def narrow(self, *, stream_bytes: int, connection_bytes: int) -> None:
        """Let the peer send so much before `give_room` is asked. Call it before anything is sent."""
        self.local_settings.initial_window_size = stream_bytes
        self.local_settings.acknowledge()
        self._window = connection_bytes

    def initiate_connection(self) -> None:
        """As BufferedH2Connection's, with the window of `narrow` where there is one."""
        if self._window is None:
            super().initiate_connection()
            return
        h2.connection.H2Connection.initiate_connection(self)
        self.increment_flow_control_window(self._window - self.inbound_flow_control_window)

    def unsent(self) -> int:
        """Bytes that no window of the peer's has room for."""
        return sum(len(waiting.data) for waiting in self.stream_buffers.values())

    # -- sending -------------------------------------------------------------------------------

    def send_data(
        self,
        stream_id: int,
        data: bytes | memoryview,
        end_stream: bool = False,  # noqa: FBT001, FBT002 - as in h2
        pad_length: object = None,  # noqa: ARG002
    ) -> None:
        """Send what there is room for; the rest waits behind what waits already."""
        waiting = self.stream_buffers.get(stream_id)
        if waiting is None:
            waiting = self.stream_buffers[stream_id] = Waiting()
        waiting.data += data
        waiting.is_end = waiting.is_end or end_stream
        self.stream_window_updated(stream_id)

    def stream_window_updated(self, stream_id: int) -> bool:
        """Send what a stream's window has room for; whether anything was sent."""
        waiting, stream = self.stream_buffers.get(stream_id), self.streams.get(stream_id)
        if waiting is None or stream is None or stream.state_machine.state not in _CAN_SEND:
            self.stream_buffers.pop(stream_id, None)
            return False
        room = min(len(waiting.data), max(0, self.local_flow_control_window(stream_id)))
        whole = room == len(waiting.data)
        with memoryview(waiting.data) as data:
            for start in range(0, room, self.max_outbound_frame_size):
                piece = bytes(data[start : min(room, start + self.max_outbound_frame_size)])
                is_end = waiting.is_end and whole and start + len(piece) == room
                h2.connection.H2Connection.send_data(self, stream_id, piece, is_end)
        del waiting.data[:room]
        if not whole:
            return room > 0
        del self.stream_buffers[stream_id]
        if stream_id in self.stream_trailers:
            self.send_headers(stream_id, self.stream_trailers.pop(stream_id), end_stream=True)
        elif waiting.is_end and not room:
            h2.connection.H2Connection.send_data(self, stream_id, b"", end_stream=True)
        return room > 0

    # -- receiving -----------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> list[h2.events.Event]:
        """BufferedH2Connection.receive_data; a stream's frames that come at one time are one event."""
        joined: list[h2.events.Event] = []
        pieces: dict[int, list[bytes]] = {}
        first: dict[int, h2.events.DataReceived] = {}
        for event in super().receive_data(data):
            if not isinstance(event, h2.events.DataReceived):
                _join(first, pieces)
                joined.append(event)
            elif (earlier := first.get(event.stream_id)) is None:
                first[event.stream_id] = event
                pieces[event.stream_id] = [event.data]
                joined.append(event)
            else:
                pieces[event.stream_id].append(event.data)
                earlier.flow_controlled_length += event.flow_controlled_length
                earlier.stream_ended = event.stream_ended
        _join(first, pieces)
        return joined

    def acknowledge_received_data(self, acknowledged_size: int, stream_id: int) -> None:
        """Owe the sender its room, where the windows are ours; else as h2 does."""
        if self._window is None:
            super().acknowledge_received_data(acknowledged_size, stream_id)
        else:
            self._owed[stream_id] = self._owed.get(stream_id, 0) + acknowledged_size

    def give_room(self, unsent: Mapping[int, int]) -> None:
        """Give the room back of all that was received but what is still held, by stream."""
        for stream_id, owed in list(self._owed.items()):
            still_owed = min(owed, unsent.get(stream_id, 0))
            if still_owed:
                self._owed[stream_id] = still_owed
            else:
                del self._owed[stream_id]
            if owed > still_owed:
                super().acknowledge_received_data(owed - still_owed, stream_id)


def _join(first: dict[int, h2.events.DataReceived], pieces: dict[int, list[bytes]]) -> None:
    for stream_id, event in first.items():
        if len(pieces[stream_id]) > 1:
            event.data = b"".join(pieces[stream_id])
    first.clear()
    pieces.clear()
