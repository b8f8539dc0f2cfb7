"""Who calls the API: on the unix socket the user that the kernel names, elsewhere whoever shows a token.

Nothing but this module says who it was, and a request that nobody vouches for has no caller.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from fastapi import Request
from starlette.types import Scope as AsgiScope
from uvicorn.protocols.http.h11_impl import H11Protocol

from runtime.access.scopes import Caller, Role
from runtime.access.service import HOW, Tokens
from runtime.errors import AuthRequiredError

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
_BEARER = b"bearer "


class UnixPeer(str):
    """`uid:N`, as the kernel said it. A type of its own, since no text that came with a request is one."""

    __slots__ = ()


class PeerProtocol(H11Protocol):
    """uvicorn's HTTP, with a `UnixPeer` in the place of a unix peer's address."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn does
        """Ask the kernel once for each connection."""
        super().connection_made(transport)
        found = transport.get_extra_info("socket")
        if found is not None and found.family == socket.AF_UNIX:
            data = found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            self.client = (UnixPeer(f"uid:{_CREDENTIALS.unpack(data)[1]}"), 0)


async def find_caller(scope: AsgiScope, tokens: Tokens | None) -> Caller:
    """The caller of a request.

    Whoever can connect to the unix socket is its owner, or root: an operator. Raises AuthRequiredError and
    RateLimitedError.
    """
    peer = scope["client"][0] if scope.get("client") else ""
    if isinstance(peer, UnixPeer):
        return Caller(str(peer), Role.OPERATOR)
    shown = [value for name, value in scope["headers"] if name == b"authorization"]
    if tokens is None or len(shown) != 1 or not shown[0].lower().startswith(_BEARER):
        raise AuthRequiredError("this needs a token", hint=HOW)
    text = shown[0][len(_BEARER) :].strip().decode("latin-1")
    return await tokens.caller(text, peer=peer)


def caller_of(request: Request) -> Caller:
    """The caller of a request that was let in (`runtime.api.gate`)."""
    caller: Caller = request.state.caller
    return caller
