"""What the runtime needs of the way to the proxy (`egress.link.ProxyLink`, `egress.worker_link`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from proxy.contract.decision_line import DecisionLine
from proxy.contract.grant import Grant


class LinkPort(Protocol):
    """The daemon's way to the proxy (`egress.link.ProxyLink`)."""

    on_lost: Callable[[], None]

    @property
    def is_connected(self) -> bool:
        """Whether there is a proxy."""

    def listening(self, address: str) -> AbstractAsyncContextManager[None]:
        """A part of the proxy without a grant that listens on this address of its own meanwhile."""


class WorkerPort(Protocol):
    """The proxy of one sandbox (`egress.worker_link.WorkerLink`)."""

    on_decision: Callable[[DecisionLine], None]
    on_lost: Callable[[], None]

    @property
    def ca_pem(self) -> str:
        """The certificate that the sandbox trusts."""

    async def grant(self, grant: Grant) -> None:
        """Give a grant; returns once it is enforced. Raises NotReadyError, InvalidInputError."""

    async def revoke(self, sandbox_id: str) -> None:
        """Take the grant back; open connections are cut."""

    async def close(self) -> None:
        """End it; its address is free then."""


type OpenWorker = Callable[[str], Awaitable[WorkerPort]]
"""Makes a worker that listens on this address of the proxy's. Raises NotReadyError."""
