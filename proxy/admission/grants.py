"""Which sandbox may use the proxy: grants by network, with revisions and expiry.

Identity is the network. A connection belongs to a grant only if it came in on the address that the
proxy holds on that sandbox's own network, from that sandbox's address. The clock is given, so that
expiry can be tested without waiting.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import NamedTuple

from proxy.contract.grant import Grant


class _Held(NamedTuple):
    grant: Grant
    expires_at: float


class GrantRefusedError(ValueError):
    """The grant cannot be enforced as written; the text says why."""


class GrantRegistry:
    """The grants in force. Starts empty: no grant, no traffic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self._clock = clock
        self._by_id: dict[str, _Held] = {}
        self._by_network: dict[tuple[str, str], str] = {}

    def put(self, grant: Grant) -> None:
        """Enforce `grant` from now on.

        Raises GrantRefusedError for a revision that is not newer, and for a network that another
        sandbox holds.
        """
        held = self._by_id.get(grant.sandbox_id)
        if held is not None and grant.revision <= held.grant.revision:
            raise GrantRefusedError(
                f"revision {grant.revision} is not newer than the enforced revision {held.grant.revision}"
            )
        key = (grant.proxy_address, grant.sandbox_address)
        if self._by_network.get(key, grant.sandbox_id) != grant.sandbox_id:
            raise GrantRefusedError("the network belongs to another sandbox's grant")
        if held is not None:
            self._forget_network(held.grant)
        self._by_id[grant.sandbox_id] = _Held(grant, self._clock() + grant.expires_in_s)
        self._by_network[key] = grant.sandbox_id

    def drop(self, sandbox_id: str) -> bool:
        """Forget a sandbox's grant; whether there was one."""
        held = self._by_id.pop(sandbox_id, None)
        if held is None:
            return False
        self._forget_network(held.grant)
        return True

    def clear(self) -> list[str]:
        """Forget all; the ids of those that were held."""
        ids = list(self._by_id)
        self._by_id.clear()
        self._by_network.clear()
        return ids

    def find(self, proxy_address: str | None, sandbox_address: str) -> Grant | None:
        """The unexpired grant of a connection.

        `proxy_address` is None or a wildcard address where the socket does not tell its own address
        (a UDP listener): the peer's address then has to name one grant only.
        """
        if proxy_address is None or proxy_address in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
            ids = [i for (_, peer), i in self._by_network.items() if peer == sandbox_address]
            sandbox_id = ids[0] if len(ids) == 1 else None
        else:
            sandbox_id = self._by_network.get((proxy_address, sandbox_address))
        return self.current(sandbox_id) if sandbox_id is not None else None

    def current(self, sandbox_id: str) -> Grant | None:
        """The unexpired grant of a sandbox, at its newest revision."""
        held = self._by_id.get(sandbox_id)
        if held is None or self._clock() >= held.expires_at:
            return None
        return held.grant

    def last(self, sandbox_id: str) -> Grant | None:
        """The grant that a sandbox holds, expired or not: to mask its secrets by, never to allow."""
        held = self._by_id.get(sandbox_id)
        return held.grant if held is not None else None

    def expired(self) -> list[str]:
        """The sandboxes whose grant has run out and is still held."""
        now = self._clock()
        return [i for i, held in self._by_id.items() if now >= held.expires_at]

    def proxy_addresses(self) -> set[str]:
        """The proxy's own addresses on the sandboxes' networks."""
        return {proxy for proxy, _ in self._by_network}

    def held(self) -> list[Grant]:
        """Every grant, expired ones too."""
        return [held.grant for held in self._by_id.values()]

    def _forget_network(self, grant: Grant) -> None:
        self._by_network.pop((grant.proxy_address, grant.sandbox_address), None)


def is_token_of(grant: Grant, password: str) -> bool:
    """Whether `password` is the grant's token, compared in constant time."""
    return hmac.compare_digest(grant.token.encode(), password.encode())
