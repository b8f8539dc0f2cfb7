"""What the runtime needs of the way to the proxy (`egress.link.ProxyLink`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from proxy.contract.decision_line import DecisionLine
from proxy.contract.grant import Grant


class LinkPort(Protocol):
    """The way to the proxy (`egress.link.ProxyLink`)."""

    on_decision: Callable[[DecisionLine], None]
    on_lost: Callable[[], None]

    @property
    def is_connected(self) -> bool:
        """Whether a proxy enforces what it is told."""

    @property
    def ca_pem(self) -> str:
        """The certificate that sandboxes trust."""

    async def grant(self, grant: Grant) -> None:
        """Give a grant; returns once it is enforced."""

    async def revoke(self, sandbox_id: str) -> None:
        """Take a sandbox's grant back; its open connections are cut."""
