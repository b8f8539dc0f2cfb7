"""What the runtime needs of the way to the proxy (`egress.link.ProxyLink`)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from proxy.contract.decision_line import DecisionLine
from proxy.contract.grant import Grant


class LinkPort(Protocol):
    """The way to the proxy (`egress.link.ProxyLink`)."""

    on_decision: Callable[[DecisionLine], None]
    on_lost: Callable[[], None]
    on_sandbox_lost: Callable[[str], None]

    @property
    def is_connected(self) -> bool:
        """Whether there is a proxy."""

    def ca_pem(self, sandbox_id: str) -> str:
        """The certificate that a sandbox with a grant trusts."""

    def listening(self, address: str) -> AbstractAsyncContextManager[None]:
        """A part of the proxy without a grant that listens on this address of its own meanwhile."""

    async def grant(self, grant: Grant) -> None:
        """Give a grant; returns once it is enforced."""

    async def revoke(self, sandbox_id: str) -> None:
        """Take a sandbox's grant back; its open connections are cut."""
