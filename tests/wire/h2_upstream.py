"""An origin that speaks HTTP/2, and takes what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events


@dataclass
class H2Upstream:
    """An upstream that speaks HTTP/2, and takes only what `takes` says."""

    takes: Callable[[str], bool] = lambda _path: False
    """Whether the window of a stream is opened again, by its path."""
    received: dict[str, int] = field(default_factory=dict)
    """Body bytes by path."""
    streams: int | None = None
    """The most streams that it allows at one time."""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    connection: h2.connection.H2Connection | None = None
    answer: Callable[[h2.connection.H2Connection, int], None] = lambda connection, stream: (
        connection.send_headers(stream, [(":status", "200")], end_stream=True)
    )
    """What is done at the end of a request."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each request at its end; open windows as `takes` says."""
        self.writers.append(writer)
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.connection, paths = connection, {}
        if self.streams is not None:
            connection.local_settings.max_concurrent_streams = self.streams
            connection.local_settings.acknowledge()
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(1 << 16):
                for event in connection.receive_data(data):
                    self._take(connection, event, paths)
                writer.write(connection.data_to_send())
        writer.close()

    def _take(
        self, connection: h2.connection.H2Connection, event: h2.events.Event, paths: dict[int, str]
    ) -> None:
        if isinstance(event, h2.events.RequestReceived):
            paths[event.stream_id] = dict(event.headers)[b":path"].decode()
        elif isinstance(event, h2.events.DataReceived):
            path = paths[event.stream_id]
            self.received[path] = self.received.get(path, 0) + len(event.data)
            if self.takes(path):
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.answer(connection, event.stream_id)
