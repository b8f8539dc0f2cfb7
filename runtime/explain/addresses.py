"""The addresses of a destination, and how they become known: a literal, a pin, a lookup, or not at all."""

from __future__ import annotations

import asyncio
import enum
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from proxy.destination.resolve import lookup_ipv4
from proxy.destination.stub import NO_SUCH_NAME, Resolver

LOOKUP_TIMEOUT_S = 4.0
"""Less than the proxy's own bound, so that a resolver that is not there is told from a name that is not."""
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class Source(enum.StrEnum):
    """Where the addresses come from."""

    NOT_REACHED = "not_reached"
    """The request is refused before any address is looked for."""
    LITERAL = "literal"
    """The URL has the address itself."""
    PINNED = "pinned"
    """The operator's `resolve:` gives them, and no name is looked up."""
    ROUTER = "router"
    """The LLM router, which is never looked up."""
    RESOLVED = "resolved"
    """They were looked up just now, on this host."""
    NO_SUCH_NAME = "no_such_name"
    """This host's resolver says that there are none."""
    CANNOT_RESOLVE = "cannot_resolve"
    """This host cannot resolve names; the proxy, with its own resolvers, may."""
    NOT_ASKED = "not_asked"
    """Nobody asked for a lookup."""


@dataclass(slots=True)
class Found:
    """What became known of one destination's addresses."""

    source: Source = Source.NOT_REACHED
    addresses: tuple[str, ...] = ()
    dialled: str | None = None
    """The one that would be dialled."""


class UnknownAddressError(Exception):
    """The addresses are not known here, which says nothing about the request."""

    def __init__(self, source: Source) -> None:
        super().__init__(source.value)
        self.source = source


async def no_lookup(host: str) -> list[str]:  # noqa: ARG001 - a Lookup
    """A Lookup that asks nobody. Raises UnknownAddressError always."""
    raise UnknownAddressError(Source.NOT_ASKED)


class HostLookup:
    """A Lookup by this host: the operator's resolvers for the proxy where there are any, or the system's.

    That the system's resolver finds nothing decides nothing: the proxy asks others. What the proxy's own
    resolvers do not find is refused, as the proxy refuses it.
    """

    def __init__(self, servers: Sequence[str] = ()) -> None:
        self._resolver = (
            Resolver([(server, 53) for server in servers], {}, time.monotonic) if servers else None
        )

    async def __call__(self, host: str) -> list[str]:
        """The addresses of a name.

        Raises OSError where the proxy's own resolvers say that there are none, and UnknownAddressError where
        that is not known.
        """
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                return await (self._resolver or lookup_ipv4)(host)
        except TimeoutError:
            raise UnknownAddressError(Source.CANNOT_RESOLVE) from None
        except (OSError, UnicodeError) as exc:
            if self._resolver is not None and str(exc) == NO_SUCH_NAME:
                raise
            is_told = isinstance(exc, socket.gaierror) and exc.errno in _NO_SUCH_NAME
            source = Source.NO_SUCH_NAME if is_told else Source.CANNOT_RESOLVE
            raise UnknownAddressError(source) from None
