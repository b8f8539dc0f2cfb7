"""Who calls the API: for a unix socket, the user that the kernel says is at the other end.

Tokens will name callers too; `caller_of` is the one place that says who it was.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from fastapi import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

UNKNOWN = "local"
"""A caller on a transport that does not say who it is."""
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class PeerProtocol(H11Protocol):
    """uvicorn's HTTP, with `uid:N` in the place of a unix peer's address."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn does
        """Ask the kernel once for each connection."""
        super().connection_made(transport)
        found = transport.get_extra_info("socket")
        if found is not None and found.family == socket.AF_UNIX:
            data = found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            self.client = (f"uid:{_CREDENTIALS.unpack(data)[1]}", 0)


def caller_of(request: Request) -> str:
    """The caller, for the audit."""
    host = request.client.host if request.client else ""
    return host if host.startswith("uid:") else UNKNOWN
