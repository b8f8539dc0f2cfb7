"""A bare HTTP/2 client, which obeys no more of the protocol than a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import h2.config
import h2.connection
import h2.errors
import h2.events

from tests.wire.conftest import Rig
from tests.wire.raw import open_tunnel


class H2:
    """A bare HTTP/2 client inside a tunnel to ok.test."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        config = h2.config.H2Configuration(validate_outbound_headers=False)
        self.connection = h2.connection.H2Connection(config)
        self.events: list[h2.events.Event] = []

    async def open(self) -> H2:
        """Shake hands up to the server's settings."""
        self.reader, self.writer = await open_tunnel(self.rig, f"ok.test:{self.rig.upstream.tls_port}")
        context = ssl.create_default_context(cadata=self.rig.link.ca_pem)
        context.set_alpn_protocols(["h2"])
        await asyncio.wait_for(self.writer.start_tls(context, server_hostname="ok.test"), 30)
        self.connection.initiate_connection()
        self.flush()
        while not any(isinstance(e, h2.events.RemoteSettingsChanged) for e in self.events):
            await self.read()
        return self

    def flush(self) -> None:
        """Send what is queued."""
        self.writer.write(self.connection.data_to_send())

    async def read(self) -> bytes:
        """Take in one piece; empty at the end."""
        data = await asyncio.wait_for(self.reader.read(1 << 16), 30)
        self.events += self.connection.receive_data(data) if data else []
        return data

    async def until_closed(self) -> list[h2.errors.ErrorCodes | int | None]:
        """Read to the end; the error codes with which the proxy ended it."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while await self.read():
                pass
        self.writer.close()
        await self.rig.settled()
        return [e.error_code for e in self.events if isinstance(e, h2.events.ConnectionTerminated)]
